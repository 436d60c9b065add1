/**
 * A client of HTTP/3 on the runtime's QUIC, in a process of its own: told what to do by messages, it says what comes.
 * `http3-client.ts` is the other end. Debian's curl has no HTTP/3, and ngtcp2's client sends GET and POST only.
 */
import { connect, type QuicSession, type QuicStream } from "node:quic";

export type Fields = Record<string, string | string[]>;

export type Order =
  | { readonly kind: "connect"; readonly port: number; readonly serverName: string }
  | {
      readonly kind: "begin";
      readonly id: number;
      readonly fields: Fields;
      readonly end: boolean;
      readonly read: boolean;
    }
  | { readonly kind: "send"; readonly id: number; readonly octets: Uint8Array }
  | { readonly kind: "finish"; readonly id: number; readonly trailers: Fields | null }
  | { readonly kind: "read"; readonly id: number }
  | { readonly kind: "cancel"; readonly id: number }
  | { readonly kind: "leave" };

export type Report =
  | { readonly kind: "connected"; readonly certificate: string }
  | { readonly kind: "failed"; readonly reason: string }
  /** The server sent GOAWAY, or the session is over. */
  | { readonly kind: "goaway" | "closed" }
  | { readonly kind: "head" | "interim" | "trailers"; readonly id: number; readonly fields: Fields }
  | { readonly kind: "content"; readonly id: number; readonly octets: Uint8Array }
  /** @param code it was cut with, -1 if none is known; null: it is complete */
  | { readonly kind: "end"; readonly id: number; readonly code: number | null }
  /** What was to be sent has left for the runtime. */
  | { readonly kind: "sent"; readonly id: number; readonly octets: number };

const ROOM: unique symbol = Symbol.for("Stream.drainableProtocol") as never;

const say = (report: Report): void => {
  process.send?.(report);
};

let session: QuicSession | null = null;
const streams = new Map<number, { readonly stream: QuicStream; code: number }>();
/** What was ordered for a stream is done one after the other. */
const queues = new Map<number, Promise<void>>();

async function open(port: number, serverName: string): Promise<void> {
  try {
    const options = { alpn: "h3", servername: serverName, verifyPeer: "manual", reuseEndpoint: false } as const;
    session = await connect(`127.0.0.1:${port}`, options);
    session.onerror = () => {};
    session.ongoaway = () => say({ kind: "goaway" });
    const over = () => say({ kind: "closed" });
    session.closed.then(over, over);
    await session.opened;
    say({ kind: "connected", certificate: session.peerCertificate?.subject ?? "" });
  } catch (thrown) {
    say({ kind: "failed", reason: (thrown as Error).message });
  }
}

async function begin({ id, fields, end, read: mayRead }: Order & { kind: "begin" }): Promise<void> {
  let stream: QuicStream;
  try {
    stream = await session!.createBidirectionalStream();
  } catch {
    return say({ kind: "end", id, code: -1 });
  }
  const one = { stream, code: -1 };
  streams.set(id, one);
  stream.onerror = () => {};
  stream.onreset = (why) => {
    one.code = Number(why.errorCode);
  };
  stream.onheaders = (head) => say({ kind: "head", id, fields: { ...head } as Fields });
  stream.oninfo = (head) => say({ kind: "interim", id, fields: { ...head } as Fields });
  stream.ontrailers = (trailers) => say({ kind: "trailers", id, fields: { ...trailers } as Fields });
  stream.onwanttrailers = () => stream.sendTrailers(trailersOf.get(id) ?? {});
  stream.sendHeaders(fields, { terminal: end });
  // Before anything is sent: the writer belongs to a stream that is not complete.
  if (!end) void stream.writer;
  if (mayRead) void read(id);
}

async function read(id: number): Promise<void> {
  const one = streams.get(id)!;
  try {
    for await (const batch of one.stream) for (const octets of batch) say({ kind: "content", id, octets });
    // The trailers are told of later in the same pass of the loop.
    await new Promise(setImmediate);
    say({ kind: "end", id, code: null });
  } catch {
    // The code comes by another way, and may be later.
    await Bun.sleep(0);
    say({ kind: "end", id, code: one.code });
  }
}

const trailersOf = new Map<number, Fields>();

async function write(id: number, octets: Uint8Array): Promise<void> {
  const writer = streams.get(id)!.stream.writer as QuicStream["writer"] & {
    readonly desiredSize: number | null;
    [ROOM](): Promise<unknown> | null;
  };
  while (!writer.writeSync(octets)) {
    if (writer.desiredSize === null) return;
    await Promise.resolve(writer[ROOM]()).catch(() => {});
  }
  say({ kind: "sent", id, octets: octets.length });
}

function inTurn(id: number, act: () => void | Promise<void>): void {
  queues.set(
    id,
    (queues.get(id) ?? Promise.resolve()).then(act).catch(() => say({ kind: "end", id, code: -1 })),
  );
}

process.on("message", async (order: Order) => {
  switch (order.kind) {
    case "connect":
      return open(order.port, order.serverName);
    case "begin":
      return inTurn(order.id, () => begin(order));
    case "send":
      return inTurn(order.id, () => write(order.id, order.octets));
    case "finish":
      return inTurn(order.id, () => {
        const { stream } = streams.get(order.id)!;
        if (order.trailers !== null) trailersOf.set(order.id, order.trailers);
        else stream.onwanttrailers = undefined;
        stream.writer.endSync();
      });
    case "read":
      return inTurn(order.id, () => void read(order.id));
    case "cancel":
      return inTurn(order.id, () => streams.get(order.id)?.stream.destroy(undefined, { code: 0x10c }));
    case "leave":
      session?.destroy(undefined, { code: 0x100, type: "application" });
      setTimeout(() => process.exit(), 50);
  }
});
process.on("disconnect", () => process.exit());
