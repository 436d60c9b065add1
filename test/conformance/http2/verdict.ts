/** Cases for the server role as a table: what is sent, and what must come of it. */
import { expect } from "bun:test";
import { type Answer, HostileClient } from "./hostile-client.ts";
import { Code, Type } from "./wire.ts";

export interface ServerCase {
  readonly name: string;
  run(): void;
}

type Script = (client: HostileClient) => void;
type Codes = number | readonly number[];

const list = (codes: Codes): readonly (number | null)[] => (typeof codes === "number" ? [codes] : codes);
const start = (script: Script): HostileClient => {
  const client = HostileClient.connected();
  script(client);
  return client;
};

/** A stream that no case uses for itself. */
const LATER = 0x7000_0001;

/** The connection goes on: a later request is answered, and nothing said otherwise. */
export function expectAlive(client: HostileClient, stream = LATER): void {
  expect({ fate: client.connection.fate, goaway: client.goawayCode }).toEqual({ fate: "open", goaway: null });
  client.request(stream);
  expect(client.answer(stream)).toMatchObject({ status: 200, ended: true });
}

/** RFC 9113 §5.4.1: GOAWAY with one of the codes, then the end; no request comes of it. */
export function connectionError(name: string, codes: Codes, script: Script): ServerCase {
  return {
    name: `RFC ${name}: connection error`,
    run() {
      const client = start(script);
      expect(list(codes)).toContain(client.goawayCode);
      expect(client.connection.fate).not.toBe("open");
      // What the dropped streams held may still be given back.
      const last = client.frames.findLast(({ type }) => type !== Type.windowUpdate);
      expect(last?.type).toBe(Type.goaway);
    },
  };
}

/** RFC 9113 §5.4.2: RST_STREAM with one of the codes; the connection goes on. No complete request is handed on. */
export function streamError(name: string, codes: Codes, script: Script, stream = 1): ServerCase {
  return {
    name: `RFC ${name}: stream error`,
    run() {
      const client = start(script);
      expectStreamError(client, codes, stream);
      expect(client.application.complete).toEqual([]);
      expectAlive(client);
    },
  };
}

export function expectStreamError(client: HostileClient, codes: Codes, stream: number): void {
  const { reset, status } = client.answer(stream);
  expect(list(codes)).toContain(reset);
  // RFC 9113 §8.1.1: a server may say why before it resets.
  expect(status === 0 || status >= 400).toBe(true);
}

/** Where the RFC leaves the choice between a stream error and a connection error. */
export function eitherError(name: string, codes: Codes, script: Script, stream = 1): ServerCase {
  return {
    name: `RFC ${name}: stream or connection error`,
    run() {
      const client = start(script);
      if (client.goawayCode === null) {
        expectStreamError(client, codes, stream);
        expectAlive(client);
      } else {
        expect(list(codes)).toContain(client.goawayCode);
        expect(client.connection.fate).not.toBe("open");
      }
    },
  };
}

/** A head that is well formed for HTTP/2 and refused all the same: an answer of 4xx or a stream error, and nothing handed on. */
export function refused(name: string, script: Script, stream = 1): ServerCase {
  return {
    name: `RFC ${name}: refused`,
    run() {
      const client = start(script);
      const { reset, status } = client.answer(stream);
      expect(reset === Code.protocol || (status >= 400 && status < 500)).toBe(true);
      expect(client.application.requests).toEqual([]);
      expectAlive(client);
    },
  };
}

/** It is fine: the stream gets its answer, and the connection goes on. */
export function accepted(name: string, script: Script, answer: Partial<Answer> = {}, stream = 1): ServerCase {
  return {
    name: `RFC ${name}: accepted`,
    run() {
      const client = start(script);
      expect(client.answer(stream)).toMatchObject({ status: 200, ended: true, reset: null, ...answer });
      expectAlive(client);
    },
  };
}

/** Nothing comes of it but that the connection goes on. */
export function ignored(name: string, script: Script): ServerCase {
  return {
    name: `RFC ${name}: ignored`,
    run() {
      expectAlive(start(script));
    },
  };
}

/** Whatever else there is to see. @param look fails if it is not so; the connection is looked at after it */
export function shows(name: string, look: Script, pairs: readonly (readonly [number, number])[] = []): ServerCase {
  return {
    name: `RFC ${name}`,
    run() {
      look(HostileClient.connected(...pairs));
    },
  };
}
