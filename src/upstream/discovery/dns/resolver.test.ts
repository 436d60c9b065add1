import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RecordType } from "./message.ts";
import { type Family, Resolver } from "./resolver.ts";
import { a, aaaa, answerTo, cname, type Script, ScriptedDns, srv } from "./testing.ts";

const { signal } = new AbortController();
const peers: ScriptedDns[] = [];
afterEach(() => {
  for (const peer of peers.splice(0)) peer[Symbol.dispose]();
});

async function server(script: Script): Promise<ScriptedDns> {
  const peer = await ScriptedDns.start(script);
  peers.push(peer);
  return peer;
}

const resolverOf = (...servers: { port: number }[]) => patient(5000, ...servers);

const patient = (timeoutMs: number, ...servers: { port: number }[]) =>
  new Resolver({ servers: servers.map(({ port }) => ({ host: "127.0.0.1", port })), timeoutMs });

const BOTH: readonly Family[] = [4, 6];

/** Names it was asked for, without repetitions and with their types. */
const questions = (peer: ScriptedDns) => [
  ...new Set(
    peer.asked.map(
      ({ name, type }) => `${name} ${type === RecordType.A ? "A" : type === RecordType.AAAA ? "AAAA" : "SRV"}`,
    ),
  ),
];

test("both families are asked for, and each has its own lifetime", async () => {
  const peer = await server((asked) => [
    answerTo(asked, {
      answers: [asked.type === RecordType.A ? a("app.test", "192.0.2.1", 30) : aaaa("app.test", 1, 20)],
    }),
  ]);
  const answers = await resolverOf(peer).addresses("APP.test.", BOTH, signal);
  expect(answers.get(4)).toEqual({ kind: "found", addresses: ["192.0.2.1"], ttlSeconds: 30 });
  expect(answers.get(6)).toEqual({ kind: "found", addresses: ["2001:db8::1"], ttlSeconds: 20 });
});

test("records that the question did not lead to are not believed", async () => {
  const peer = await server((asked) => [
    answerTo(asked, { answers: [a("other.test", "203.0.113.66"), a("app.test", "192.0.2.1")] }),
  ]);
  expect((await resolverOf(peer).addresses("app.test", [4], signal)).get(4)).toMatchObject({
    addresses: ["192.0.2.1"],
  });
});

test("aliases are followed in any order, and the shortest lifetime of the chain counts (RFC 1034 §3.6.2)", async () => {
  const answers = [a("c.test", "192.0.2.1", 300), cname("b.test", "c.test", 7), cname("app.test", "b.test", 60)];
  const peer = await server((asked) => [answerTo(asked, { answers })]);
  expect((await resolverOf(peer).addresses("app.test", [4], signal)).get(4)).toEqual({
    kind: "found",
    addresses: ["192.0.2.1"],
    ttlSeconds: 7,
  });
});

test("an alias that the server leaves to us is asked for", async () => {
  const peer = await server((asked) => [
    answerTo(asked, {
      answers: asked.name === "app.test" ? [cname("app.test", "b.test", 5)] : [a("b.test", "192.0.2.1")],
    }),
  ]);
  expect((await resolverOf(peer).addresses("app.test", [4], signal)).get(4)).toMatchObject({
    addresses: ["192.0.2.1"],
    ttlSeconds: 5,
  });
});

test.each([
  ["within one answer", (name: string) => [cname(name, "b.test"), cname("b.test", name)]],
  ["over several answers", (name: string) => [cname(name, `x${name}`)]],
])("aliases that do not end fail: %s", async (_, answers) => {
  const peer = await server((asked) => [answerTo(asked, { answers: answers(asked.name) })]);
  const answer = (await resolverOf(peer).addresses("app.test", [4], signal)).get(4);
  expect(answer).toEqual({ kind: "failed", why: "app.test is an alias of an alias, over and over" });
  expect(peer.asked.length).toBeLessThan(20);
});

test("not existing and having no address are answers; refusing and being silent are failures", async () => {
  const peer = await server((asked) => {
    if (asked.name === "silent.test") return [];
    const code = { "none.test": 3, "broken.test": 2, "refused.test": 5 }[asked.name] ?? 0;
    return [answerTo(asked, { code, bare: code === 5 })];
  });
  const ofName = async (name: string, timeoutMs = 5000) =>
    (await patient(timeoutMs, peer).addresses(name, [4], signal)).get(4);
  expect(await ofName("none.test")).toEqual({ kind: "empty", why: "none.test does not exist (NXDOMAIN)" });
  expect(await ofName("bare.test")).toEqual({ kind: "empty", why: "bare.test has no such records" });
  expect(await ofName("broken.test")).toEqual({
    kind: "failed",
    why: `${peer.server} answered SERVFAIL for broken.test`,
  });
  expect(await ofName("refused.test")).toEqual({
    kind: "failed",
    why: `${peer.server} answered REFUSED for refused.test`,
  });
  expect(await ofName("silent.test", 200)).toEqual({
    kind: "failed",
    why: `${peer.server} did not answer within 200 ms`,
  });
});

test("a server that fails is passed over for the next one, and all get a second round", async () => {
  const broken = await server((asked) => [answerTo(asked, { code: 2 })]);
  let calls = 0;
  const shaky = await server((asked) =>
    ++calls === 1 ? [] : [answerTo(asked, { answers: [a("app.test", "192.0.2.1")] })],
  );
  expect((await patient(500, broken, shaky).addresses("app.test", [4], signal)).get(4)).toMatchObject({
    kind: "found",
  });
  expect([broken.asked.length, shaky.asked.length]).toEqual([2, 2]);
});

test("families fail each by itself", async () => {
  const peer = await server((asked) => [
    asked.type === RecordType.A
      ? answerTo(asked, { answers: [a("app.test", "192.0.2.1")] })
      : answerTo(asked, { code: 2 }),
  ]);
  const answers = await resolverOf(peer).addresses("app.test", BOTH, signal);
  expect([answers.get(4)!.kind, answers.get(6)!.kind]).toEqual(["found", "failed"]);
});

test("services come with the addresses that are sent along (RFC 2782)", async () => {
  const peer = await server((asked) => [
    answerTo(asked, {
      answers: [srv(asked.name, 1, 2, 8080, "one.test", 9)],
      additional: [a("one.test", "192.0.2.1", 5), a("one.test", "192.0.2.2", 4)],
    }),
  ]);
  const { services, ttlSeconds, addresses } = await resolverOf(peer).services("_http._tcp.app.test", signal);
  expect(services).toMatchObject([{ priority: 1, weight: 2, port: 8080, target: "one.test" }]);
  expect(ttlSeconds).toBe(9);
  expect(addresses.get("one.test")!.get(4)).toEqual({
    kind: "found",
    addresses: ["192.0.2.1", "192.0.2.2"],
    ttlSeconds: 4,
  });
  expect(addresses.get("one.test")!.has(6)).toBe(false);
});

test("a service that does not exist is an empty answer, one that cannot be asked for a failure", async () => {
  const peer = await server((asked) => [answerTo(asked, { code: asked.name === "none.test" ? 3 : 2 })]);
  const none = await resolverOf(peer).services("none.test", signal);
  expect([none.services, none.why]).toEqual([[], "none.test does not exist (NXDOMAIN)"]);
  await expect(resolverOf(peer).services("broken.test", signal)).rejects.toThrow("SERVFAIL");
});

describe("as the system does it", () => {
  let directory = "";
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  /** resolv.conf has no ports, so the server's own stand in for 53. */
  function systemResolver(hosts: string, search: string, peer: ScriptedDns): Resolver {
    directory = mkdtempSync(join(tmpdir(), "lintel-dns-"));
    const systemFiles = {
      hosts: join(directory, "hosts"),
      resolvConf: join(directory, "resolv.conf"),
      port: peer.port,
    };
    writeFileSync(systemFiles.hosts, hosts);
    writeFileSync(systemFiles.resolvConf, `nameserver 127.0.0.1\n${search}\n`);
    return new Resolver({ servers: null, timeoutMs: 5000, systemFiles });
  }

  const only =
    (name: string, code = 3): Script =>
    (asked) => [asked.name === name ? answerTo(asked, { answers: [a(name, "192.0.2.1")] }) : answerTo(asked, { code })];

  test("the hosts file comes before any server, for the families it has", async () => {
    const peer = await server(only("other.test"));
    const answers = await systemResolver("10.1.1.1 app\n", "", peer).addresses("app", BOTH, signal);
    expect(answers.get(4)).toMatchObject({ kind: "found", addresses: ["10.1.1.1"] });
    expect(answers.get(6)).toMatchObject({ kind: "empty" });
    expect(peer.asked).toEqual([]);
  });

  test("a short name is tried in the search domains first, then as it is", async () => {
    const peer = await server(only("app"));
    const resolver = systemResolver("", "search a.test b.test", peer);
    expect((await resolver.addresses("app", [4], signal)).get(4)).toMatchObject({ kind: "found" });
    expect(questions(peer)).toEqual(["app.a.test A", "app.b.test A", "app A"]);
  });

  test("the first search domain that has the name wins", async () => {
    const peer = await server(only("app.a.test"));
    expect(
      (await systemResolver("", "search a.test b.test", peer).addresses("app", BOTH, signal)).get(4),
    ).toMatchObject({ kind: "found" });
    expect(questions(peer).sort()).toEqual(["app.a.test A", "app.a.test AAAA"]);
  });

  test("a name with ndots dots is tried as it is first, one with a dot at its end only so", async () => {
    const peer = await server(only("none.test"));
    const resolver = systemResolver("", "search a.test\noptions ndots:2", peer);
    await resolver.addresses("x.y.z", [4], signal);
    await resolver.addresses("x.y", [4], signal);
    await resolver.addresses("full.", [4], signal);
    await resolver.addresses("target", [4], signal, true);
    expect(questions(peer)).toEqual(["x.y.z A", "x.y.z.a.test A", "x.y.a.test A", "x.y A", "full A", "target A"]);
  });

  test("services are searched for in the same way", async () => {
    const name = "_http._tcp.app.a.test";
    const peer = await server((asked) => [
      asked.name === name
        ? answerTo(asked, { answers: [srv(name, 0, 0, 80, "one.test")] })
        : answerTo(asked, { code: 3 }),
    ]);
    const resolver = systemResolver("", "search b.test a.test\noptions ndots:5", peer);
    expect((await resolver.services("_http._tcp.app", signal)).services).toHaveLength(1);
  });

  test("a search domain that fails is passed over, but then nobody can say that there is no such name", async () => {
    const peer = await server((asked) => [answerTo(asked, { code: asked.name.endsWith(".a.test") ? 2 : 3 })]);
    const resolver = systemResolver("", "search a.test", peer);
    expect((await resolver.addresses("app", [4], signal)).get(4)).toMatchObject({ kind: "failed" });
    await expect(resolver.services("app", signal)).rejects.toThrow("SERVFAIL");
    peer.script = (asked) => [
      asked.name === "app" ? answerTo(asked, { answers: [a("app", "192.0.2.9")] }) : answerTo(asked, { code: 2 }),
    ];
    expect((await resolver.addresses("app", [4], signal)).get(4)).toMatchObject({ addresses: ["192.0.2.9"] });
  });

  test("a full name that has had an answer and fails now is not passed over for another name", async () => {
    const peer = await server(only("app.a.test"));
    const resolver = systemResolver("", "search a.test b.test", peer);
    await resolver.addresses("app", [4], signal);
    peer.script = (asked) => [
      asked.name === "app.a.test"
        ? answerTo(asked, { code: 2 })
        : answerTo(asked, { answers: [a(asked.name, "203.0.113.66")] }),
    ];
    expect((await resolver.addresses("app", [4], signal)).get(4)).toMatchObject({ kind: "failed" });
  });

  test("resolv.conf is read anew: a machine may have moved", async () => {
    const peer = await server(only("app.b.test"));
    const resolver = systemResolver("", "search a.test", peer);
    expect((await resolver.addresses("app", [4], signal)).get(4)).toMatchObject({ kind: "empty" });
    writeFileSync(join(directory, "resolv.conf"), "nameserver 127.0.0.1\nsearch b.test\n");
    expect((await resolver.addresses("app", [4], signal)).get(4)).toMatchObject({ kind: "found" });
  });
});
