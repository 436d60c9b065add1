/**
 * `files` answers GET and HEAD with files of a folder.
 *
 * The path of the request, in normal form, is looked up below `root`; nothing outside of it is ever
 * sent (file-root.ts). A folder is asked for with a slash at its end and answered with its index;
 * without the slash the client is sent there. Folders are not listed. Names that begin with a dot are
 * hidden. Missing is 404, unless `fallback` or `next` says otherwise; other methods are 405.
 *
 * Conditions are evaluated in the order of RFC 9110 §13.2.2, ranges as §14.2 says: one range is a
 * 206, several are multipart/byteranges, none that can be satisfied is 416. The entity tag is made of
 * time and size, so it is the same on machines that hold the same copy.
 *
 * RFC 9110 §8.8 (validators), §12.5.3 (Accept-Encoding), §13 (conditions), §14 (ranges).
 */
import { resolve } from "node:path";
import { Failure } from "../../base/failure.ts";
import { MemoryBody, NO_BODY } from "../../http/body.ts";
import { httpDate } from "../../http/date.ts";
import { defineMiddleware, type Handler } from "../../http/define.ts";
import type { Exchange } from "../../http/exchange.ts";
import { Field } from "../../http/field-name.ts";
import { FieldSection } from "../../http/field-section.ts";
import { HttpResponse } from "../../http/message.ts";
import { encodePath, normalizePath, pathOf, queryOf } from "../../http/target.ts";
import { headAnswer } from "../answer.ts";
import { type ByteRange, parseRanges } from "./byte-range.ts";
import { acceptableCodings, SUFFIX } from "./coding.ts";
import { FileBody, type Piece } from "./file-body.ts";
import { FileRoot, OpenFile } from "./file-root.ts";
import { mediaTypes } from "./media-type.ts";
import { contentRange, multipart } from "./multipart.ts";
import { type Coding, type FilesOptions, filesOptions } from "./options.ts";
import { evaluatePreconditions, isRangeCurrent } from "./precondition.ts";

/** Up to here a file is read at once: one read, and the content leaves together with the head. */
const SMALL_OCTETS = 64 * 1024;

export const files = defineMiddleware({
  name: "files",
  summary: "Answers with static files of a folder.",
  options: filesOptions,
  responds: true,
  mayHandOn: (written) => typeof written === "object" && written !== null && "next" in written && written.next === true,
  create(options, { directory, log }) {
    const path = resolve(directory, options.root);
    const root = new FileRoot(path, options.followSymlinks);
    if (!root.exists) log.warn("files: there is no such folder", { root: path });
    const site = new StaticSite(root, options);
    return (next) => (exchange) => {
      const { method } = exchange.request;
      if (method === "GET" || method === "HEAD") return site.answer(exchange, next);
      if (options.next) return next(exchange);
      return new HttpResponse(405, FieldSection.of({ allow: "GET, HEAD" }));
    };
  },
});

/** A file that answers a request, and its path below the root. */
interface Match {
  readonly file: OpenFile;
  readonly path: string;
}

class StaticSite {
  readonly #root: FileRoot;
  readonly #options: FilesOptions;
  readonly #typeOf: (path: string) => string;

  constructor(root: FileRoot, options: FilesOptions) {
    this.#root = root;
    this.#options = options;
    this.#typeOf = mediaTypes(options.mime);
  }

  async answer(exchange: Exchange, next: Handler): Promise<HttpResponse> {
    const { fallback, next: handsOn } = this.#options;
    let found = await this.#find(exchange.path);
    if (found === "directory") {
      const location = withSlash(exchange);
      if (location !== null) return new HttpResponse(308, FieldSection.of({ location }));
      found = await this.#find(`${exchange.path}/`);
    }
    if (found === "missing" && fallback !== undefined) found = await this.#open(fallback);
    if (found === "forbidden") throw new Failure("forbidden", `the file for ${exchange.path} may not be read`);
    if (typeof found !== "string") return this.#send(exchange, found);
    if (handsOn) return next(exchange);
    throw new Failure("not-found", `there is no file for ${exchange.path}`);
  }

  async #find(path: string): Promise<Match | "directory" | "missing" | "forbidden"> {
    if (!this.#options.hidden && isHidden(path)) return "missing";
    if (!path.endsWith("/")) return this.#open(path);
    for (const name of this.#options.index) {
      const found = await this.#open(path + name);
      if (found !== "missing" && found !== "directory") return found;
    }
    return "missing";
  }

  async #open(path: string): Promise<Match | "directory" | "missing" | "forbidden"> {
    const file = await this.#root.open(path);
    return file instanceof OpenFile ? { file, path } : file;
  }

  async #send(exchange: Exchange, match: Match): Promise<HttpResponse> {
    const { precompressed } = this.#options;
    const acceptEncoding = exchange.request.fields.getKnown(Field["accept-encoding"]);
    let { file } = match;
    try {
      let coding: Coding | null = null;
      if (acceptEncoding !== undefined) {
        for (const candidate of acceptableCodings(acceptEncoding, precompressed)) {
          const sibling = await this.#root.open(match.path + SUFFIX[candidate]);
          if (!(sibling instanceof OpenFile)) continue;
          file.close();
          file = sibling;
          coding = candidate;
          break;
        }
      }
      return await this.#respond(exchange, file, this.#typeOf(match.path), coding);
    } finally {
      file.close();
    }
  }

  async #respond(exchange: Exchange, file: OpenFile, type: string, coding: Coding | null): Promise<HttpResponse> {
    const { fields: asked, method } = exchange.request;
    const fields = new FieldSection();
    fields.append("etag", file.etag);
    fields.append("last-modified", httpDate(file.lastModifiedMs));
    if (this.#options.cacheControl !== undefined) fields.append("cache-control", this.#options.cacheControl);
    if (this.#options.precompressed.length > 0) fields.append("vary", "accept-encoding");

    const verdict = evaluatePreconditions(asked, file);
    if (verdict !== 200) return new HttpResponse(verdict, fields);

    if (coding !== null) fields.append("content-encoding", coding);
    fields.append("accept-ranges", "bytes");
    if (method === "HEAD") {
      fields.append("content-type", type);
      return headAnswer(200, fields, file.size);
    }
    const range = asked.getKnown(Field.range);
    const ranges = range === undefined || !isRangeCurrent(asked, file) ? null : parseRanges(range, file.size);
    if (ranges === "unsatisfiable") return unsatisfiable(file.size);
    if (ranges !== null) return partial(exchange, file, ranges, fields, type);
    fields.append("content-type", type);
    return new HttpResponse(200, fields, await wholeBody(exchange, file));
  }
}

async function wholeBody(exchange: Exchange, file: OpenFile) {
  if (file.size === 0) return NO_BODY;
  if (file.size <= SMALL_OCTETS) return new MemoryBody(await file.readWhole());
  return streamed(exchange, file, [{ start: 0, end: file.size }], file.size);
}

function partial(
  exchange: Exchange,
  file: OpenFile,
  ranges: readonly ByteRange[],
  fields: FieldSection,
  type: string,
): HttpResponse {
  const [only, second] = ranges;
  if (only !== undefined && second === undefined) {
    fields.append("content-type", type);
    fields.append("content-range", contentRange(only, file.size));
    return new HttpResponse(206, fields, streamed(exchange, file, ranges, only.end - only.start));
  }
  const { contentType, pieces, length } = multipart(ranges, file.size, type);
  fields.append("content-type", contentType);
  return new HttpResponse(206, fields, streamed(exchange, file, pieces, length));
}

function unsatisfiable(size: number): HttpResponse {
  return new HttpResponse(416, FieldSection.of({ "content-range": `bytes */${size}`, "accept-ranges": "bytes" }));
}

function streamed(exchange: Exchange, file: OpenFile, pieces: readonly Piece[], length: number): FileBody {
  const body = new FileBody(file.take(), pieces, length);
  exchange.onAbort(() => body.abandon());
  return body;
}

/** Any name that begins with a dot; `/.well-known/` is made to be seen (RFC 8615). */
function isHidden(path: string): boolean {
  const dot = path.indexOf("/.");
  if (dot < 0) return false;
  return !path.startsWith("/.well-known/") || path.indexOf("/.", 1) >= 0;
}

/**
 * Where the client finds the folder it asked for: the path as the client knows it, whatever a
 * rewrite made of it, with a slash. Null if its path has one already.
 */
function withSlash(exchange: Exchange): string | null {
  const target = exchange.clientTarget;
  const raw = pathOf(target);
  const path = normalizePath(raw);
  if (path.endsWith("/")) return null;
  const query = queryOf(target);
  return `${raw === path ? raw : encodePath(path)}/${query === "" ? "" : `?${query}`}`;
}
