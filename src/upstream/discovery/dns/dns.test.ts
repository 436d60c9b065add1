import { afterEach, expect, test } from "bun:test";
import { needs, program } from "../../../base/testing.ts";
import { dns } from "./dns.ts";
import { RecordType } from "./message.ts";
import { a, aaaa, answerTo, Dnsmasq, dnsmasqPath, type Script, ScriptedDns, until, Watched } from "./testing.ts";

const provide = (server: string, options: object = {}) =>
  new Watched((scope) =>
    dns.create(
      dns.options.parse({
        name: "app.test",
        port: 8080,
        servers: server,
        floor: "100ms",
        timeout: "5s",
        ...options,
      }),
      scope,
    ),
  );

needs(program("dnsmasq", dnsmasqPath)).describe("with dnsmasq", () => {
  test("all addresses of a name are endpoints, in an order that does not depend on the answer's", async () => {
    await using server = await Dnsmasq.start("10.0.0.10 app.test\n10.0.0.9 app.test\nfd00::1 app.test\n");
    using app = provide(server.server, { weight: 3, backup: true, priority: 2, locality: "eu-1" });
    await app.shows("10.0.0.9:8080", "10.0.0.10:8080", "[fd00::1]:8080");
    expect(app.sets[0]![0]).toEqual({
      address: "10.0.0.9:8080",
      weight: 3,
      backup: true,
      priority: 2,
      locality: "eu-1",
      maxInFlight: Infinity,
    });
  });

  test("changed answers are published, the same ones are not", async () => {
    await using server = await Dnsmasq.start("10.0.0.1 app.test\n10.0.0.2 app.test\n");
    using app = provide(server.server);
    await app.shows("10.0.0.1:8080", "10.0.0.2:8080");
    server.setHosts("10.0.0.2 app.test\n10.0.0.3 app.test\n");
    await app.shows("10.0.0.2:8080", "10.0.0.3:8080");
    const asked = server.questions.length;
    // dnsmasq turns the order of its answers round.
    await until(() => server.questions.length > asked + 6);
    expect(app.sets).toHaveLength(2);
    expect(app.lines).toEqual([]);
  });

  test("a family can be chosen", async () => {
    await using server = await Dnsmasq.start("10.0.0.1 app.test\nfd00::1 app.test\n");
    using four = provide(server.server, { family: 4 });
    using six = provide(server.server, { family: 6 });
    await four.shows("10.0.0.1:8080");
    await six.shows("[fd00::1]:8080");
  });

  test("a name with IPv6 addresses only is enough", async () => {
    await using server = await Dnsmasq.start("fd00::1 app.test\nfd00::2 app.test\n");
    using app = provide(server.server);
    await app.shows("[fd00::1]:8080", "[fd00::2]:8080");
    expect(app.lines).toEqual([]);
  });

  test("chains of aliases lead to the addresses", async () => {
    await using server = await Dnsmasq.start(
      "10.0.0.1 last.test\n",
      "--cname=app.test,middle.test",
      "--cname=middle.test,last.test",
    );
    using app = provide(server.server);
    await app.shows("10.0.0.1:8080");
    expect(app.lines).toEqual([]);
  });

  test("100 addresses do not fit UDP and come over TCP", async () => {
    const addresses = Array.from({ length: 100 }, (_, i) => `10.0.1.${i}`);
    await using server = await Dnsmasq.start(addresses.map((address) => `${address} app.test\n`).join(""));
    using app = provide(server.server, {});
    await app.shows(...addresses.map((address) => `${address}:8080`));
  });

  test("a name that vanishes keeps its endpoints, and logs it once", async () => {
    await using server = await Dnsmasq.start("10.0.0.1 app.test\n");
    using app = provide(server.server);
    await app.shows("10.0.0.1:8080");
    server.setHosts("");
    await app.logs("app.test does not exist (NXDOMAIN)");
    const asked = server.questions.length;
    await until(() => server.questions.length > asked + 4);
    expect(app.sets).toHaveLength(1);
    expect(app.lines).toHaveLength(1);
    expect(app.lines[0]).toBe(
      'warn  the lookup gave no endpoints upstream=app provider=dns name=app.test error="app.test does not exist (NXDOMAIN)" kept=1',
    );
    server.setHosts("10.0.0.2 app.test\n");
    await app.shows("10.0.0.2:8080");
    expect(app.lines.at(-1)).toContain("can be looked up again");
  });

  test("with empty: drop a name that vanishes takes its endpoints along", async () => {
    await using server = await Dnsmasq.start("10.0.0.1 app.test\n");
    using app = provide(server.server, { empty: "drop" });
    await app.shows("10.0.0.1:8080");
    server.setHosts("");
    await app.shows();
    server.setHosts("10.0.0.1 app.test\n");
    await app.shows("10.0.0.1:8080");
  });

  test("a server that dies keeps the endpoints, and what it says when it is back counts", async () => {
    await using server = await Dnsmasq.start("10.0.0.1 app.test\n");
    using app = provide(server.server, { family: 4, empty: "drop" });
    await app.shows("10.0.0.1:8080");
    await server.stop();
    await app.logs("cannot be asked: ECONNREFUSED");
    expect(app.addresses).toEqual(["10.0.0.1:8080"]);
    await server.restart("10.0.0.7 app.test\n");
    await app.shows("10.0.0.7:8080");
    expect(app.lines).toHaveLength(2);
    expect(app.lines[0]).toStartWith("warn  the endpoints could not be looked up");
    expect(app.lines[1]).toStartWith("info  the endpoints can be looked up again");
  });

  test("a server that refuses is a failure, not an empty answer", async () => {
    await using server = await Dnsmasq.start("10.0.0.1 app.test\n");
    // Not its zone, and it has nobody to ask.
    using app = provide(server.server, { name: "app.elsewhere", empty: "drop" });
    await app.logs("answered REFUSED for app.elsewhere");
    expect(app.sets).toEqual([]);
  });

  test("an endpoint may come first from the second server", async () => {
    await using server = await Dnsmasq.start("10.0.0.1 app.test\n");
    using silent = await ScriptedDns.start(() => []);
    using app = provide("", { servers: [silent.server, server.server], timeout: "1s" });
    await app.shows("10.0.0.1:8080");
    expect(app.lines).toEqual([]);
  });

  test("a name is not asked for again before its lifetime, or the floor if that is longer, is over", async () => {
    await using server = await Dnsmasq.start("10.0.0.1 app.test\n", "--local-ttl=3600");
    using long = provide(server.server, { family: 4 });
    using capped = provide(server.server, { family: 4, ceiling: "200ms", name: "capped.test" });
    using floored = provide(server.server, { family: 4, floor: "1h", ceiling: "2h", name: "floored.test" });
    server.setHosts("10.0.0.1 app.test\n10.0.0.2 capped.test\n10.0.0.3 floored.test");
    await long.shows("10.0.0.1:8080");
    await until(() => server.questions.filter((question) => question === "A capped.test").length > 5);
    expect(server.questions.filter((question) => question === "A app.test")).toHaveLength(1);
    expect(server.questions.filter((question) => question === "A floored.test").length).toBeLessThan(2);
    expect(capped.sets.length + floored.sets.length).toBeGreaterThan(0);
  });
});

let peer: ScriptedDns | null = null;
afterEach(() => {
  peer?.[Symbol.dispose]();
  peer = null;
});

async function scripted(script: Script): Promise<ScriptedDns> {
  peer = await ScriptedDns.start(script);
  return peer;
}

test("a name is asked for again when its lifetime is over", async () => {
  const server = await scripted((asked) => [answerTo(asked, { answers: [a("app.test", "10.0.0.1", 1)] })]);
  using app = provide(server.server, { family: 4 });
  await until(() => server.asked.length === 2);
  expect(app.sets).toHaveLength(1);
});

test("SERVFAIL keeps the endpoints", async () => {
  const server = await scripted((asked) => [answerTo(asked, { answers: [a("app.test", "10.0.0.1", 0)] })]);
  using app = provide(server.server, { family: 4, empty: "drop" });
  await app.shows("10.0.0.1:8080");
  server.script = (asked) => [answerTo(asked, { code: 2 })];
  await app.logs("answered SERVFAIL for app.test");
  server.script = (asked) => [answerTo(asked, { answers: [a("app.test", "10.0.0.2", 0)] })];
  await app.shows("10.0.0.2:8080");
  expect(app.sets).toHaveLength(2);
});

test("silence keeps the endpoints", async () => {
  const server = await scripted((asked) => [answerTo(asked, { answers: [a("app.test", "10.0.0.1", 0)] })]);
  using app = provide(server.server, { family: 4, empty: "drop", timeout: "1s" });
  await app.shows("10.0.0.1:8080");
  server.script = () => [];
  await app.logs("did not answer within 1000 ms");
  expect(app.sets).toHaveLength(1);
});

test("a server that fails for one family alone does not take that family's endpoints away", async () => {
  const both: Script = (asked) => [
    answerTo(asked, { answers: [asked.type === RecordType.A ? a("app.test", "10.0.0.1", 0) : aaaa("app.test", 1, 0)] }),
  ];
  const server = await scripted(both);
  using app = provide(server.server);
  await app.shows("10.0.0.1:8080", "[2001:db8::1]:8080");
  server.script = (asked) => [
    asked.type === RecordType.A
      ? answerTo(asked, { answers: [a("app.test", "10.0.0.2", 0)] })
      : answerTo(asked, { code: 2 }),
  ];
  await app.shows("10.0.0.2:8080", "[2001:db8::1]:8080");
  expect(app.lines[0]).toContain("some endpoints could not be looked up");
  server.script = both;
  await app.shows("10.0.0.1:8080", "[2001:db8::1]:8080");
});

test("forged and malformed answers change nothing", async () => {
  const server = await scripted((asked) => [answerTo(asked, { answers: [a("app.test", "10.0.0.1", 0)] })]);
  using app = provide(server.server, { family: 4, empty: "drop", timeout: "300ms" });
  await app.shows("10.0.0.1:8080");
  const evil = [a("app.test", "203.0.113.66", 0)];
  let forged = 0;
  server.script = (asked) => {
    forged++;
    if (asked.over === "tcp") return [];
    return [
      answerTo(asked, { name: "other.test", answers: evil }),
      answerTo(asked, { answers: [a("other.test", "203.0.113.66", 0)] }).subarray(0, -1),
      answerTo(asked, { id: asked.id ^ 1, answers: evil }),
    ];
  };
  await until(() => forged > 8);
  expect(app.sets.flat().map(({ address }) => address)).toEqual(["10.0.0.1:8080"]);
});

test("nothing is asked or published after stop", async () => {
  const server = await scripted((asked) => [answerTo(asked, { answers: [a("app.test", "10.0.0.1", 0)] })]);
  const app = provide(server.server, { family: 4 });
  await app.shows("10.0.0.1:8080");
  app[Symbol.dispose]();
  server.script = (asked) => [answerTo(asked, { answers: [a("app.test", "10.0.0.2", 0)] })];
  const asked = server.asked.length;
  await Bun.sleep(300);
  expect(server.asked.length - asked).toBeLessThanOrEqual(1);
  expect(app.sets).toHaveLength(1);
});

test("localhost needs no server", async () => {
  using app = new Watched((scope) =>
    dns.create(dns.options.parse({ name: "localhost", port: 3000, family: 4 }), scope),
  );
  await app.shows("127.0.0.1:3000");
});
