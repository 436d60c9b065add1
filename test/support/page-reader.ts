/**
 * Serves the YAML examples of a page of the documentation, one after the other, in one gateway:
 * `localhost:3000` is the origin server "one", `localhost:4000` and `localhost:3001` are "two"; `nextWithFleet` has one for
 * each other address as well.
 */
import { expect } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parse } from "yaml";
import { Fleet } from "./fleet.ts";
import { Gateway, type TestConfig } from "./gateway.ts";
import { closedPort, Origin } from "./origin.ts";
import { exchange, type RawResponse, wire } from "./raw.ts";

const DOCS = join(import.meta.dir, "../../docs");
const TOKEN = "docs";

export const textOf = (page: string): string => readFileSync(join(DOCS, page), "utf8");

const withOurs = (config: TestConfig): TestConfig => ({
  workers: 1,
  listeners: ["127.0.0.1:0"],
  admin: { address: "127.0.0.1:0", token: TOKEN },
  ...config,
});

/** What has to be another than on the page. The fleet's addresses are still those of the page. */
type Edit = (text: string, fleet: Fleet) => string | Promise<string>;

export class PageReader implements AsyncDisposable {
  /** All answer with their name and the target, unless told otherwise since the last `next`. */
  readonly one: Origin;
  readonly two: Origin;
  /** Nobody listens there. */
  readonly closed: number;
  readonly #gateway: Gateway;
  readonly #examples: readonly string[];
  #served = 0;
  #fleet: Fleet | null = null;

  private constructor(page: string, gateway: Gateway, origins: readonly [Origin, Origin], closed: number) {
    this.#examples = [...textOf(page).matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, text]) => text!);
    this.#gateway = gateway;
    [this.one, this.two] = origins;
    this.closed = closed;
  }

  /** @param page within docs/ */
  static async open(page: string): Promise<PageReader> {
    const closed = await closedPort();
    const gateway = await Gateway.start(withOurs({ sites: [{ use: [{ respond: 404 }] }] }));
    return new PageReader(page, gateway, [await Origin.start(), await Origin.start()], closed);
  }

  get port(): number {
    return this.#gateway.port;
  }

  /** How many examples have not been served yet. */
  get left(): number {
    return this.#examples.length - this.#served;
  }

  /**
   * Serves the next example of the page.
   * @param more keys of the config beside those of the example
   * @param edit what else has to be another here
   */
  async next(more: TestConfig = {}, edit: (text: string) => string = (text) => text): Promise<void> {
    const text = edit(this.#examples[this.#served++]!)
      .replaceAll("localhost:3000", this.one.address)
      .replaceAll(/localhost:(4000|3001)/g, this.two.address);
    for (const [, name] of text.matchAll(/ file: ([\w./-]+)/g)) this.put(name!, `page ${name}`);
    const example = parse(text) as TestConfig & { listeners?: readonly (object | string)[] };
    const listeners = example.listeners?.map((one) => ({
      ...(typeof one === "string" ? {} : one),
      address: "127.0.0.1:0",
    }));
    const config = { ...example, ...(listeners && { listeners }), ...more };
    writeFileSync(join(this.#gateway.directory, "lintel.json"), JSON.stringify(withOurs(config)));
    const answer = await fetch(`${this.#gateway.adminUrl}/v1/reload`, {
      method: "POST",
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    expect({ text, status: answer.status, answer: await answer.json() }).toEqual({
      text,
      status: 200,
      answer: expect.objectContaining({ outcome: "applied" }),
    });
    this.one.clear();
    this.two.clear();
    this.one.script = (request) => request.reply({ content: `one ${request.target}` });
    this.two.script = (request) => request.reply({ content: `two ${request.target}` });
  }

  /**
   * Serves the next example of the page with an origin server for each address in it. They are new ones: what was
   * found out about those of the example before says nothing about them.
   */
  async nextWithFleet(edit: Edit = (text) => text): Promise<Fleet> {
    this.#fleet?.[Symbol.dispose]();
    this.#fleet = await Fleet.of(this.#examples[this.#served++]!, this.folder);
    await this.again(edit);
    return this.#fleet;
  }

  /** Serves the example anew, with the origin servers it has. */
  async again(edit: Edit): Promise<void> {
    const fleet = this.#fleet!;
    const text = await edit(this.#examples[--this.#served]!, fleet);
    await this.next({}, () => fleet.moved(text));
  }

  /** Leaves the next example to another test. */
  skip(): void {
    this.#served++;
  }

  /** Of the config. */
  get folder(): string {
    return this.#gateway.directory;
  }

  /** Waits until the log of the program has this. */
  says(text: string | RegExp): Promise<void> {
    return this.#gateway.says(text);
  }

  /** What the program has said so far. */
  get output(): string {
    return this.#gateway.output;
  }

  /** A file beside the config. */
  put(path: string, text: string): void {
    const file = join(this.#gateway.directory, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }

  /** @param line method and target */
  ask(line: string, ...fields: string[]): Promise<RawResponse> {
    return this.askOf("a.example", line, ...fields);
  }

  askOf(host: string, line: string, ...fields: string[]): Promise<RawResponse> {
    return exchange(this.port, wire(`${line} HTTP/1.1`, `Host: ${host}`, ...fields, "", ""), line.split(" ")[0]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#gateway.stop();
    this.one.stop();
    this.two.stop();
    this.#fleet?.[Symbol.dispose]();
  }
}
