/** Certificates, configs and workers change while clients of TLS come and go: no handshake is lost. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import tls from "node:tls";
import { needs, ROOT } from "../../src/base/testing.ts";
import { Authority } from "../../src/tls/testing.ts";
import { Gateway, isAlive, type TestConfig } from "../support/gateway.ts";
import { RawClient } from "../support/raw.ts";
import { CertificateFolder } from "../support/tls.ts";
import { until } from "../support/until.ts";

// Programs are started by the dozen, maybe on a machine that is busy.
setDefaultTimeout(60_000);

const cleanUp: (() => void | Promise<void>)[] = [];
const clients = new Set<tls.TLSSocket>();
afterEach(async () => {
  for (const socket of clients) socket.destroy();
  clients.clear();
  for (const clean of cleanUp.splice(0).reverse()) await clean();
});

const respond = { hosts: "a.test", use: [{ respond: "hello" }] };

async function start(more: TestConfig = {}) {
  const files = new CertificateFolder();
  cleanUp.push(() => files.remove());
  const pair = files.put("a", files.authority.issue(["a.test"], { subject: "first" }));
  const config = {
    listeners: [{ name: "secure", address: "127.0.0.1:0", tls: { handshakeTimeout: "5s" } }],
    tls: { certificates: pair },
    sites: [respond],
    timeouts: { drain: "20s" },
    ...more,
  };
  const gateway = await Gateway.start(config);
  cleanUp.push(() => gateway.stop());
  const { port } = gateway;
  const reload = (changes: TestConfig) => {
    const file = join(gateway.directory, "lintel.json");
    const written = JSON.parse(readFileSync(file, "utf8")) as TestConfig;
    writeFileSync(file, JSON.stringify({ ...written, ...changes }));
    gateway.signal("SIGHUP");
  };
  return { files, gateway, port, pair, reload };
}

/** A client that keeps its connection. */
class Client {
  readonly #socket: tls.TLSSocket;
  #text = "";

  private constructor(socket: tls.TLSSocket) {
    this.#socket = socket;
    socket.on("data", (octets: Buffer) => (this.#text += octets.toString("latin1")));
    clients.add(socket);
  }

  static connect(port: number, files: CertificateFolder, more: tls.ConnectionOptions = {}): Promise<Client> {
    return new Promise((resolve, reject) => {
      const ca = files.authority.cert;
      const socket = tls.connect({
        port,
        host: "127.0.0.1",
        servername: "a.test",
        ca,
        ALPNProtocols: ["http/1.1"],
        ...more,
      });
      socket.once("secureConnect", () => resolve(new Client(socket)));
      socket.once("error", reject);
      socket.on("error", () => {});
    });
  }

  close(): void {
    this.#socket.destroy();
    clients.delete(this.#socket);
  }

  get subject(): string {
    return String(this.#socket.getPeerCertificate().subject.CN);
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed && this.#socket.readable;
  }

  /** @param end of the response's content */
  async get(end = "hello"): Promise<string> {
    this.#text = "";
    this.#socket.write("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n");
    await until(
      () => this.#text.endsWith(end),
      () => `a response, not ${JSON.stringify(this.#text)}`,
    );
    return this.#text;
  }
}

/** One handshake and request after the other until it is told to stop; any that fails is an error. */
function steadily(port: number, files: CertificateFolder) {
  let stopped = false;
  const subjects: string[] = [];
  const failures: string[] = [];
  const running = Promise.all(
    Array.from({ length: 3 }, async () => {
      while (!stopped) {
        try {
          const client = await Client.connect(port, files);
          subjects.push(client.subject);
          await client.get();
          client.close();
        } catch (thrown) {
          failures.push(String(thrown));
        }
      }
    }),
  );
  return {
    subjects,
    async stop() {
      stopped = true;
      await running;
      expect(failures).toEqual([]);
    },
  };
}

describe("a certificate's files", () => {
  test("that change are served to the next client, and nobody is disturbed", async () => {
    const { files, port } = await start({ workers: 2 });
    const early = await Client.connect(port, files);
    expect([early.subject, (await early.get()).slice(0, 12)]).toEqual(["first", "HTTP/1.1 200"]);
    const load = steadily(port, files);
    await until(() => load.subjects.length > 5, "clients that come and go");
    files.put("a", files.authority.issue(["a.test"], { subject: "second" }));
    await until(() => load.subjects.slice(-10).every((subject) => subject === "second"), "the other certificate");
    await load.stop();
    expect(await early.get()).toStartWith("HTTP/1.1 200");
  });

  test("that are broken leave what there was, and are repaired", async () => {
    const { files, gateway, port } = await start();
    files.write("a.key", "not a key");
    await gateway.says("a changed file cannot be used; what was read before stays", 20_000);
    expect((await Client.connect(port, files)).subject).toBe("first");
    files.put("a", files.authority.issue(["a.test"], { subject: "repaired" }));
    await until(async () => (await Client.connect(port, files)).subject === "repaired", "the repaired certificate");
  });
});

test("a program whose certificate cannot be read does not start, and says why", async () => {
  const gateway = Gateway.launch({
    listeners: [{ address: "127.0.0.1:0", tls: true }],
    tls: { certificates: { cert: "nowhere.pem", key: "nowhere.key" } },
    sites: [respond],
  });
  expect(await gateway.exited()).toBe(1);
  expect(gateway.output).toContain("nowhere.pem: there is no such file");
  gateway.kill();
});

describe("a reload", () => {
  test("keeps connections, and loses no handshake", async () => {
    const { files, gateway, port, pair, reload } = await start({ workers: 2 });
    const early = await Client.connect(port, files);
    await early.get();
    const load = steadily(port, files);
    const other = files.put("b", files.authority.issue(["a.test"], { subject: "other", until: 9 }));
    for (let i = 0; i < 6; i++) {
      const before = load.subjects.length;
      reload({ tls: { certificates: i % 2 === 0 ? other : pair } });
      const wanted = i % 2 === 0 ? "other" : "first";
      await until(
        () => load.subjects.length > before + 10 && load.subjects.slice(-6).every((subject) => subject === wanted),
        `certificate ${wanted}`,
      );
    }
    await load.stop();
    expect(await early.get()).toStartWith("HTTP/1.1 200");
    expect(gateway.output).not.toContain("error");
  });

  test("to a certificate that cannot be read changes nothing", async () => {
    const { files, gateway, port, reload } = await start();
    reload({ tls: { certificates: { cert: files.file("gone.pem"), key: files.file("gone.key") } } });
    await gateway.says("gone.pem: there is no such file", 20_000);
    const client = await Client.connect(port, files);
    expect([client.subject, (await client.get()).slice(0, 12)]).toEqual(["first", "HTTP/1.1 200"]);
  });

  test("changes what TLS puts around a site, and nothing else of it", async () => {
    const listeners = [
      { name: "plain", address: "127.0.0.1:0" },
      { name: "secure", address: "127.0.0.1:0", tls: true },
    ];
    const site = (tls: object) => ({ sites: [{ ...respond, tls }] });
    const { files, gateway, reload } = await start({ listeners, ...site({ redirect: { port: 8443 } }) });
    const port = Number(new URL(gateway.url("listener=secure")).port);
    const plain = async () => {
      const answer = await fetch(gateway.url("listener=plain"), { headers: { host: "a.test" }, redirect: "manual" });
      return answer.status;
    };
    expect(await plain()).toBe(308);
    const open = await Client.connect(port, files);
    expect(await open.get()).not.toContain("strict-transport-security");
    reload(site({ redirect: false, hsts: true }));
    await until(async () => (await plain()) === 200, "plain requests to be served");
    // On the connection that was there before, too.
    expect(await open.get()).toContain("strict-transport-security: max-age=31536000\r\n");
    reload(site({ redirect: false, clientAuth: { ca: files.file("ca.pem") } }));
    await until(async () => (await plain()) === 421, "plain requests to be refused");
    expect(await open.get("(misdirected-request)\n")).toStartWith("HTTP/1.1 421");
    const { cert, key } = files.authority.issue([], { subject: "alice", use: "client" });
    expect(await (await Client.connect(port, files, { cert, key })).get()).toStartWith("HTTP/1.1 200");
    expect(gateway.output).not.toContain("worker died");
  });

  test.each([
    ["certificates that were optional are required", { mode: "optional" }, { mode: "required" }],
    ["there is another CA", { mode: "optional" }, { mode: "optional", ca: "other.pem" }],
  ])("to other rules of a site holds for connections that are there: %s", async (_, before, after) => {
    const listeners = [
      { name: "plain", address: "127.0.0.1:0" },
      { name: "secure", address: "127.0.0.1:0", tls: true },
    ];
    const config = (answer: string, { mode, ca = "ca.pem" }: { mode: string; ca?: string }) => ({
      sites: [
        { ...respond, listeners: ["secure"], tls: { clientAuth: { mode, ca: files.file(ca) } } },
        { listeners: ["plain"], use: [{ respond: answer }] },
      ],
    });
    const { files, gateway, reload } = await start({ listeners });
    files.write("other.pem", new Authority().cert);
    const inForce = (answer: string) =>
      until(async () => (await (await fetch(gateway.url("listener=plain"))).text()) === answer, answer);
    reload(config("first", before));
    await inForce("first");
    const port = Number(new URL(gateway.url("listener=secure")).port);
    const open = await Client.connect(port, files);
    expect(await open.get()).toStartWith("HTTP/1.1 200");
    reload(config("second", after));
    await inForce("second");
    expect(await open.get("\n")).toStartWith("HTTP/1.1 421");
  });

  test("can begin and end TLS on a listener", async () => {
    const { files, gateway, port, reload } = await start();
    const listeners = (tls: boolean) => [{ name: "secure", address: "127.0.0.1:0", tls }];
    const early = await Client.connect(port, files);
    await early.get();
    reload({ listeners: listeners(false) });
    await until(async () => {
      const plain = await RawClient.connect(port);
      await plain.send("GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n");
      const said = await plain.closed().then(() => plain.inbox.pending.toString());
      return said.startsWith("HTTP/1.1 200");
    }, "plain HTTP");
    expect(await early.get()).toStartWith("HTTP/1.1 200");
    reload({ listeners: listeners(true) });
    await until(
      () =>
        Client.connect(port, files).then(
          () => true,
          () => false,
        ),
      "TLS",
    );
    expect(gateway.output).not.toContain("worker died");
  });
});

test("a worker that dies is replaced by one with the certificates of now", async () => {
  const { files, gateway, port } = await start();
  files.put("a", files.authority.issue(["a.test"], { subject: "second" }));
  await until(async () => (await Client.connect(port, files)).subject === "second", "the other certificate");
  const [worker] = gateway.workers;
  process.kill(worker!, "SIGKILL");
  await until(() => gateway.workers.length === 1 && gateway.workers[0] !== worker, "another worker");
  expect((await Client.connect(port, files)).subject).toBe("second");
});

test("an upgrade loses no handshake, and connections go on until they have served", async () => {
  const { files, gateway, port } = await start({ workers: 2 });
  const load = steadily(port, files);
  await until(() => load.subjects.length > 5, "clients that come and go");
  const old = gateway.workers;
  gateway.signal("SIGUSR2");
  await gateway.says("new workers serve", 30_000);
  const before = load.subjects.length;
  await until(
    () => old.every((pid) => !isAlive(pid)) && load.subjects.length > before + 20,
    "the old workers' end",
    30_000,
  );
  await load.stop();
});

describe("at the end", () => {
  test("a handshake that has begun is finished, its request answered, and the connection closed", async () => {
    const { files, gateway, port } = await start();
    const idle = await Client.connect(port, files);
    await idle.get();
    // A connection whose ClientHello is on its way.
    const { promise: hello, resolve } = Promise.withResolvers<Buffer>();
    const trap = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (_, octets) => resolve(Buffer.from(octets)) },
    });
    tls.connect({ port: trap.port, host: "127.0.0.1", servername: "a.test" }).on("error", () => {});
    const octets = await hello;
    trap.stop(true);
    const half = await RawClient.connect(port);
    await half.send(octets.subarray(0, 100));
    const silent = await RawClient.connect(port);
    await until(async () => (await gateway.metrics()).get('lintel_arrivals_active{listener="secure"}') === 2, "both");
    const stopped = gateway.stop();
    // Who has said nothing is let go, as are those that rest.
    await silent.closed();
    await until(() => !idle.isOpen, "the idle connection to be closed");
    // The other is still heard: ServerHello, 22.
    await half.send(octets.subarray(100));
    await until(() => half.inbox.pending.length > 5, "an answer");
    expect(half.inbox.pending[0]).toBe(22);
    half.destroy();
    await stopped;
  });
});

needs(ROOT).describe("keys that root alone may read", () => {
  test("serve after root's rights are given up, after a reload, and after an upgrade", async () => {
    const { files, gateway, port, pair, reload } = await start({ user: "nobody", telemetry: { accessLog: "off" } });
    chmodSync(gateway.directory, 0o755);
    expect((await Client.connect(port, files)).subject).toBe("first");
    expect(gateway.output).toContain("changes of a file are not seen: this user may not read it");
    reload({ tls: { certificates: pair, redirect: false } });
    await gateway.says("is in force", 20_000);
    const early = await Client.connect(port, files);
    expect(early.subject).toBe("first");
    const [old] = gateway.workers;
    gateway.signal("SIGUSR2");
    await until(() => !isAlive(old!) || gateway.workers.some((pid) => pid !== old), "a new worker");
    await gateway.says("new workers serve", 20_000);
    expect((await Client.connect(port, files)).subject).toBe("first");
    expect(await early.get()).toStartWith("HTTP/1.1 200");
  });
});
