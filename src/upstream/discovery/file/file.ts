/**
 * `file`: a list of endpoints in a file of its own that another program, or a person, keeps. It is
 * read again when it changes; while it cannot be used the endpoints stay as they were.
 */
import { resolve } from "node:path";
import { z } from "zod";
import { byteSize, duration } from "../../../base/option.ts";
import { oneLine } from "../../../config/diagnostic.ts";
import { reason } from "../../../config/include.ts";
import type { EndpointSpec } from "../../endpoint-spec.ts";
import { defineProvider, type Provider, type ProviderScope, type Publish } from "../provider.ts";
import { readBounded } from "./bounded-read.ts";
import { readEndpointList } from "./endpoint-list.ts";
import { FileWatch } from "./file-watch.ts";

const SETTLE_MS = 50;
/** Of one version of a file. */
const MOST_PROBLEMS = 10;

const options = z.strictObject({
  path: z
    .string()
    .min(1)
    .meta({
      description:
        "The file; relative to the folder of the config. A name that ends in `.json` is JSON, others are YAML.",
      examples: ["endpoints.yaml"],
    }),
  maxSize: byteSize("A larger file is not read.", "1MiB"),
  poll: duration("How often it is looked at where the system does not tell of changes (network disks).", "2s").refine(
    (ms) => ms >= 100 && ms !== Infinity,
    { message: '"poll" must be at least 100ms, and not "off"', params: { code: "out-of-range" } },
  ),
});

export const file = defineProvider({
  name: "file",
  summary: "A list of endpoints in a YAML or JSON file of its own, read again when it changes.",
  options,
  create: (given, scope) => new FileProvider(given, scope),
});

type Condition = "well" | "missing" | "broken";

class FileProvider implements Provider {
  readonly #path: string;
  readonly #maxOctets: number;
  readonly #log: ProviderScope["log"];
  readonly #watch: FileWatch;
  #publish: Publish = () => {};
  #stopped = false;
  #condition: Condition = "well";
  #published: readonly EndpointSpec[] | null = null;
  /** Readings follow each other, so that an older one never comes last. */
  #reading: Promise<void> = Promise.resolve();

  constructor({ path, maxSize, poll }: z.output<typeof options>, scope: ProviderScope) {
    this.#path = resolve(scope.directory, path);
    this.#maxOctets = maxSize;
    this.#log = scope.log.with({ upstream: scope.upstream, provider: "file" });
    this.#watch = new FileWatch(this.#path, { pollMs: poll, settleMs: SETTLE_MS }, () => {
      this.#reading = this.#reading.then(() => this.#read());
    });
  }

  start(publish: Publish): void {
    this.#publish = publish;
    void this.#watch.start();
  }

  stop(): void {
    this.#stopped = true;
    this.#watch.stop();
  }

  async #read(): Promise<void> {
    if (this.#stopped) return;
    let text: string | null;
    try {
      text = await readBounded(this.#path, this.#maxOctets);
    } catch (thrown) {
      if (!this.#stopped) this.#broken([`${this.#path}: ${reason(thrown)}`]);
      return;
    }
    if (this.#stopped) return;
    if (text === null) return this.#missing();
    const list = readEndpointList(text, this.#path);
    if ("problems" in list) return this.#broken(list.problems.map(oneLine));
    if (this.#condition !== "well") this.#log.info("the file of endpoints can be used again", { file: this.#path });
    this.#condition = "well";
    this.#offer(list.endpoints);
  }

  #missing(): void {
    // The first word of an upstream's endpoints: with no file there are none.
    if (this.#published === null) this.#offer([]);
    if (this.#condition === "missing") return;
    this.#condition = "missing";
    this.#log.warn("there is no such file of endpoints", { file: this.#path, kept: this.#kept });
  }

  /** Each version of the file is worth its own lines: somebody is at work on it. */
  #broken(problems: readonly string[]): void {
    this.#condition = "broken";
    for (const problem of problems.slice(0, MOST_PROBLEMS))
      this.#log.error("the file of endpoints cannot be used", { problem, kept: this.#kept });
    if (problems.length > MOST_PROBLEMS)
      this.#log.error("the file of endpoints has further problems", { problems: problems.length - MOST_PROBLEMS });
  }

  get #kept(): number {
    return this.#published?.length ?? 0;
  }

  #offer(endpoints: readonly EndpointSpec[]): void {
    if (this.#published !== null && Bun.deepEquals(this.#published, endpoints)) return;
    this.#published = endpoints;
    this.#publish(endpoints);
  }
}
