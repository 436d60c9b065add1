/** For tests of checks: endpoints that behave badly on purpose, and whether a check let go of them. */
import { afterEach, expect } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";
import type { CheckDefinition } from "./check.ts";

/** What it does with a connection when the first octets have come, or at once if they do not matter. */
export type Behaviour = (socket: Socket) => void;

export interface TestEndpoint {
  /** "127.0.0.1:port" or "unix:/path". */
  readonly address: string;
  readonly port: number;
  /** All that was received, of all connections. */
  readonly received: string;
  /** Waits until every connection has ended. */
  quiet(): Promise<void>;
  close(): void;
}

const running: { close(): void }[] = [];

afterEach(() => {
  for (const one of running.splice(0)) one.close();
});

/** An endpoint that behaves when it has read something; `onConnect` as soon as somebody connects. */
export async function testEndpoint(
  behave: Behaviour,
  options: { tls?: TlsOptions; path?: string; onConnect?: boolean } = {},
): Promise<TestEndpoint> {
  const sockets = new Set<Socket>();
  let received = "";
  const take = (socket: Socket): void => {
    socket.on("error", () => {});
    socket.on("end", () => socket.end());
    if (options.onConnect === true) behave(socket);
    else socket.once("data", () => behave(socket));
    socket.on("data", (octets) => {
      received += octets.toString("latin1");
    });
  };
  const server: Server =
    options.tls === undefined
      ? createServer({ allowHalfOpen: true }, take)
      : createTlsServer({ ...options.tls, allowHalfOpen: true }, take);
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) =>
    options.path === undefined ? server.listen(0, "127.0.0.1", resolve) : server.listen(options.path, resolve),
  );
  const port = options.path === undefined ? (server.address() as AddressInfo).port : 0;
  const endpoint: TestEndpoint = {
    address: options.path === undefined ? `127.0.0.1:${port}` : `unix:${options.path.replace("\0", "@")}`,
    port,
    get received() {
      return received;
    },
    async quiet() {
      for (let tries = 0; sockets.size > 0 && tries < 500; tries++) await Bun.sleep(10);
      expect(sockets.size).toBe(0);
    },
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
  running.push(endpoint);
  return endpoint;
}

/** Says a text, and nothing else after it. */
export const says =
  (text: string): Behaviour =>
  (socket) =>
    void socket.write(text);

/** Says a text and ends. */
export const saysAndEnds =
  (text: string): Behaviour =>
  (socket) =>
    void socket.end(text);

/** Says a text octet by octet. */
export const drips =
  (text: string, everyMs: number): Behaviour =>
  (socket) => {
    let at = 0;
    const drip = setInterval(() => {
      if (at < text.length) socket.write(text.charAt(at++));
    }, everyMs);
    socket.on("close", () => clearInterval(drip));
  };

export const stalls: Behaviour = () => {};

/** A port of this machine where nobody listens. */
export async function freePort(): Promise<number> {
  const endpoint = await testEndpoint(stalls);
  endpoint.close();
  return endpoint.port;
}

/** A folder that is gone when the test is over. */
export function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "lintel-check-"));
  running.push({ close: () => rmSync(path, { recursive: true }) });
  return path;
}

/** Runs a check once, with options as a config writes them. */
export function runCheck(
  definition: CheckDefinition,
  written: unknown,
  address: string,
  timeoutMs = 5000,
  host = address.startsWith("unix:") ? "localhost" : address,
): Promise<string | null> {
  return definition.create(definition.options.parse(written)).run({ address, host }, timeoutMs);
}
