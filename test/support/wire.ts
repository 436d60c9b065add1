/** TCP peers for tests of relays: what they are sent, and how it ended, by plain node sockets. */
import { createServer, connect as dial, type Server, type Socket } from "node:net";
import { until } from "./until.ts";

/** One end of a connection. */
export class Wire {
  readonly socket: Socket;
  /** Received so far. */
  octets: Buffer = Buffer.alloc(0);
  /** "" while it is open; "end" after a FIN, or the code of an error such as "ECONNRESET". */
  end = "";

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (piece: Buffer) => {
      this.octets = Buffer.concat([this.octets, piece]);
    });
    socket.on("end", () => {
      this.end ||= "end";
    });
    socket.on("error", (error: Error & { code?: string }) => {
      this.end = error.code ?? error.message;
    });
    socket.on("close", () => {
      this.end ||= "end";
    });
  }

  /** @param localAddress where it comes from, such as 127.0.0.7 */
  static async connect(port: number, localAddress = "127.0.0.1"): Promise<Wire> {
    const wire = new Wire(dial({ port, host: "127.0.0.1", localAddress, allowHalfOpen: true }));
    await until(() => wire.socket.readyState === "open" || wire.end !== "", "a connection");
    return wire;
  }

  get text(): string {
    return this.octets.toString("latin1");
  }

  send(text: string | Uint8Array): void {
    this.socket.write(typeof text === "string" ? Buffer.from(text, "latin1") : text);
  }

  async hears(text: string): Promise<void> {
    await until(
      () => this.text.includes(text),
      () => `${JSON.stringify(text)}; heard ${JSON.stringify(this.text)}, ${this.end}`,
    );
  }

  /** Waits for the end. */
  async ended(): Promise<string> {
    await until(() => this.end !== "", "the end of a connection");
    return this.end;
  }

  reset(): void {
    this.socket.resetAndDestroy();
  }

  close(): void {
    this.socket.destroy();
  }
}

/** An origin server that hands out its connections. */
export class WireServer {
  readonly wires: Wire[] = [];
  readonly #server: Server;
  /** Called for each connection. */
  onWire: (wire: Wire) => void = () => {};

  private constructor(server: Server) {
    this.#server = server;
    server.on("connection", (socket) => {
      const wire = new Wire(socket);
      this.wires.push(wire);
      this.onWire(wire);
    });
  }

  /** @param onWire such as one that says its name */
  static async start(onWire: (wire: Wire) => void = () => {}): Promise<WireServer> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    const made = new WireServer(server);
    made.onWire = onWire;
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return made;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** The connection with this number, from 0, once there is one. */
  async wire(number = this.wires.length): Promise<Wire> {
    await until(() => this.wires.length > number, "a connection to the origin server");
    return this.wires[number]!;
  }

  stop(): void {
    for (const wire of this.wires) wire.close();
    this.#server.close();
  }
}

/** Says its name, then everything back. */
export const echo =
  (name: string) =>
  (wire: Wire): void => {
    wire.send(`${name}:`);
    wire.socket.on("data", (piece) => wire.socket.write(piece));
    wire.socket.on("end", () => wire.socket.end());
  };
