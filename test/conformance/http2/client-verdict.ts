/** Cases for the client role as a table: what a server sends, and what must come of it. */
import { expect } from "bun:test";
import { type Asked, HostileServer } from "./hostile-server.ts";
import { headers } from "./wire.ts";

export interface ClientCase {
  readonly name: string;
  run(): void;
}

type Script = (server: HostileServer, asked: Asked) => void;
type Codes = number | readonly number[];

const list = (codes: Codes): readonly (number | null)[] => (typeof codes === "number" ? [codes] : codes);

/** The connection goes on: another request gets its answer. */
export function expectAlive(server: HostileServer): void {
  expect({ fate: server.connection.fate, goaway: server.goawayCode }).toEqual({ fate: "open", goaway: null });
  const asked = server.ask("/later");
  server.answer(asked.stream.id, "later");
  expect(asked).toMatchObject({ status: 200, content: "later", ended: "end", completed: "end" });
}

/** Not answered, or cut: in no way complete. */
export function expectNotComplete({ completed, ended, failed }: Asked): void {
  expect(completed).not.toBe("end");
  expect(ended).not.toBe("end");
  expect(failed !== "" || completed !== "").toBe(true);
}

/** RFC 9113 §5.4.1, seen from a client: GOAWAY and the end; what was asked for (stream 1) fails. */
export function connectionError(name: string, codes: Codes, script: Script): ClientCase {
  return {
    name: `RFC ${name}: connection error`,
    run() {
      const server = HostileServer.connected();
      const asked = server.ask();
      script(server, asked);
      expect(list(codes)).toContain(server.goawayCode);
      expect(server.connection.fate).not.toBe("open");
      expectNotComplete(asked);
    },
  };
}

/** RFC 9113 §5.4.2: RST_STREAM, the request on stream 1 fails, the connection goes on. */
export function streamError(name: string, codes: Codes, script: Script): ClientCase {
  return {
    name: `RFC ${name}: stream error`,
    run() {
      const server = HostileServer.connected();
      const asked = server.ask();
      script(server, asked);
      expect(list(codes)).toContain(server.resetCode(1));
      expectNotComplete(asked);
      expectAlive(server);
    },
  };
}

export function eitherError(name: string, codes: Codes, script: Script): ClientCase {
  return {
    name: `RFC ${name}: stream or connection error`,
    run() {
      const server = HostileServer.connected();
      const asked = server.ask();
      script(server, asked);
      expect(list(codes)).toContain(server.goawayCode ?? server.resetCode(1));
      expectNotComplete(asked);
      if (server.goawayCode === null) expectAlive(server);
      else expect(server.connection.fate).not.toBe("open");
    },
  };
}

/** Nothing comes of it: the request on stream 1 gets its answer after it. */
export function ignored(name: string, script: Script): ClientCase {
  return {
    name: `RFC ${name}: ignored`,
    run() {
      const server = HostileServer.connected();
      const asked = server.ask();
      script(server, asked);
      if (asked.response === null) server.send(headers(1, [[":status", "204"]]));
      expect(asked.completed).toBe("end");
      expectAlive(server);
    },
  };
}

export function shows(
  name: string,
  look: (server: HostileServer) => void,
  pairs: readonly (readonly [number, number])[] = [],
): ClientCase {
  return { name: `RFC ${name}`, run: () => look(HostileServer.connected(...pairs)) };
}
