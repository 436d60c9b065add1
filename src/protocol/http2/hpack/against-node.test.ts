/**
 * HPACK against a second implementation, nghttp2's within Node: what it encodes over the life of a
 * connection decodes here, and what is encoded here it decodes, with tables of all sizes that change
 * between one message and the next, also more than once (RFC 7541 §4.2).
 */
import { afterAll, beforeAll, expect } from "bun:test";
import { join } from "node:path";
import fc from "fast-check";
import { needs, program } from "../../../base/testing.ts";
import { fieldId } from "../../../http/field-name.ts";
import { RUNS } from "../../http1/testing.ts";
import { FrameOutput } from "../frame-output.ts";
import { HpackDecoder } from "./decoder.ts";
import { HpackEncoder } from "./encoder.ts";

type Section = [name: string, value: string][];

interface Step {
  /** Sizes that are announced before the sections, one after the other. */
  readonly tables: readonly number[];
  readonly sections: readonly Section[];
}

const name = fc.oneof(
  fc.constantFrom("accept", "user-agent", "x-trace", "cookie", "authorization", "if-none-match", "x-a", "x-b"),
  fc.stringMatching(/^x-[a-z0-9]{1,10}$/),
);
const value = fc.oneof(
  fc.constantFrom("1", "no-cache", "text/html,application/xhtml+xml", "session=0123456789abcdef"),
  fc.stringMatching(/^[!-~]([ -~]{0,60}[!-~])?$/),
  fc.constant("y".repeat(700)),
);
const section: fc.Arbitrary<Section> = fc.uniqueArray(fc.tuple(name, value), {
  maxLength: 12,
  selector: ([one]) => one,
});
const table = (most: number) => fc.constantFrom(...[0, 33, 60, 200, 1000, 4095, 4096, 65_536].filter((n) => n <= most));
const steps = (most: number): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.record({
      tables: fc.array(table(most), { maxLength: 3 }),
      sections: fc.array(section, { minLength: 1, maxLength: 8 }),
    }),
    { minLength: 1, maxLength: 5 },
  );

/** One process for all: each plan is a connection of its own there. */
class NodePeer {
  readonly #child = Bun.spawn(["node", join(import.meta.dir, "node-peer.mjs")], { stdin: "pipe", stdout: "pipe" });
  readonly #lines = this.#read();

  async *#read(): AsyncGenerator<string, void> {
    const decoder = new TextDecoder();
    let text = "";
    for await (const chunk of this.#child.stdout) {
      text += decoder.decode(chunk, { stream: true });
      const lines = text.split("\n");
      text = lines.pop()!;
      yield* lines;
    }
  }

  async ask(kind: "encode" | "decode", steps: readonly unknown[]): Promise<unknown> {
    this.#child.stdin.write(`${JSON.stringify({ kind, steps })}\n`);
    this.#child.stdin.flush();
    const { value } = await this.#lines.next();
    return JSON.parse(value ?? '"Node has ended"');
  }

  async end(): Promise<void> {
    this.#child.stdin.end();
    expect(await this.#child.exited).toBe(0);
  }
}

const withNode = needs(program("node"));
let peer: NodePeer;
withNode.describe("HPACK against Node's", () => {
  beforeAll(() => {
    peer = new NodePeer();
  });
  afterAll(() => peer.end());

  // 4096 is the most that we ever announce.
  withNode.test(
    "what Node encodes is what we decode",
    async () => {
      const holds = async (plan: Step[]) => {
        const blocks = (await peer.ask("encode", plan)) as string[];
        const decoder = new HpackDecoder(4096);
        const decoded = blocks.map((block) => {
          const octets = Buffer.from(block, "base64");
          const fields: Section = [];
          decoder.decode(octets, 0, octets.length, {
            onField: (field) => {
              expect(field.problem).toBeNull();
              if (field.pseudo === 0) fields.push([field.name, field.value]);
            },
          });
          return fields;
        });
        expect(decoded).toEqual(plan.flatMap(({ sections }) => sections as Section[]));
      };
      await fc.assert(fc.asyncProperty(steps(4096), holds), { numRuns: RUNS });
    },
    120_000,
  );

  withNode.test(
    "what we encode is what Node decodes",
    async () => {
      const holds = async (plan: Step[]) => {
        const encoder = new HpackEncoder();
        let id = 1;
        const said = plan.map(({ tables, sections }) => {
          for (const octets of tables) encoder.limit(octets);
          const octets = sections.map((fields) => {
            id += 2;
            return request(encoder, id, fields);
          });
          return { tables, octets: Buffer.concat(octets).toString("base64"), requests: sections.length };
        });
        const seen = await peer.ask("decode", said);
        expect(Array.isArray(seen) ? (seen as string[][]).map(fieldsOf) : seen).toEqual(
          plan.flatMap(({ sections }) => sections as Section[]),
        );
      };
      await fc.assert(fc.asyncProperty(steps(65_536), holds), { numRuns: RUNS });
    },
    120_000,
  );
});

const out = new FrameOutput();

/** A request with these fields, as a HEADERS frame. */
function request(encoder: HpackEncoder, id: number, fields: Section): Buffer {
  const at = out.beginHeaders(id);
  encoder.begin(out);
  encoder.pseudo(":method", "GET");
  encoder.pseudo(":scheme", "http");
  encoder.pseudo(":authority", "a.test");
  encoder.pseudo(":path", `/${id}`);
  for (const [name, value] of fields) encoder.onLine(fieldId(name), name, value);
  out.endHeaders(at, id, true, 16_384);
  const octets = Buffer.from(out.buffer.subarray(0, out.length));
  out.length = 0; // Or the loop would look for a connection to write it to.
  return octets;
}

/** Names and values in turn, as Node has them. */
function fieldsOf(raw: readonly string[]): Section {
  const fields: Section = [];
  for (let i = 0; i < raw.length; i += 2) if (!raw[i]!.startsWith(":")) fields.push([raw[i]!, raw[i + 1]!]);
  return fields;
}
