import { afterEach, expect, test } from "bun:test";
import { needs, program } from "../../../base/testing.ts";
import { RecordType } from "../dns/message.ts";
import {
  a,
  aaaa,
  answerTo,
  Dnsmasq,
  dnsmasqPath,
  type Script,
  ScriptedDns,
  srv,
  until,
  Watched,
} from "../dns/testing.ts";
import { dnsSrv } from "./dns-srv.ts";

const NAME = "_http._tcp.app.test";

const provide = (server: string, options: object = {}) =>
  new Watched((scope) =>
    dnsSrv.create(
      dnsSrv.options.parse({ name: NAME, servers: server, floor: "100ms", timeout: "5s", ...options }),
      scope,
    ),
  );

/** Address, weight and priority of each endpoint of the last set. */
const facts = ({ sets }: Watched) =>
  sets.at(-1)!.map(({ address, weight, priority }) => `${address} ${weight} ${priority}`);

needs(program("dnsmasq", dnsmasqPath)).describe("with dnsmasq", () => {
  const HOSTS = "10.0.0.1 one.test\n10.0.0.2 two.test\n10.0.0.3 three.test\n";

  test("hosts, ports, weights and priorities are those of the records", async () => {
    await using server = await Dnsmasq.start(
      HOSTS,
      `--srv-host=${NAME},one.test,8081,10,60`,
      `--srv-host=${NAME},two.test,8082,10,20`,
      `--srv-host=${NAME},three.test,8083,20,0`,
    );
    using app = provide(server.server, { locality: "eu-1" });
    await app.shows("10.0.0.1:8081", "10.0.0.2:8082", "10.0.0.3:8083");
    expect(facts(app)).toEqual(["10.0.0.1:8081 60 0", "10.0.0.2:8082 20 0", "10.0.0.3:8083 1 1"]);
    expect(app.sets[0]![0]).toMatchObject({ backup: false, locality: "eu-1", maxInFlight: Infinity });
    expect(app.lines).toEqual([]);
  });

  test("one host may serve on several ports", async () => {
    await using server = await Dnsmasq.start(
      HOSTS,
      `--srv-host=${NAME},one.test,8081`,
      `--srv-host=${NAME},one.test,8082`,
    );
    using app = provide(server.server);
    await app.shows("10.0.0.1:8081", "10.0.0.1:8082");
  });

  test("a target that moves is followed, and so are records that change", async () => {
    await using server = await Dnsmasq.start(HOSTS, `--srv-host=${NAME},one.test,8081`);
    using app = provide(server.server);
    await app.shows("10.0.0.1:8081");
    server.setHosts("10.0.0.9 one.test\n10.0.0.2 two.test\n");
    await app.shows("10.0.0.9:8081");
    await server.restart(HOSTS, `--srv-host=${NAME},one.test,8081`, `--srv-host=${NAME},two.test,9000,0,5`);
    await app.shows("10.0.0.1:8081", "10.0.0.2:9000");
  });

  test("a server that dies keeps the endpoints; a service that vanishes keeps or drops them", async () => {
    await using server = await Dnsmasq.start(HOSTS, `--srv-host=${NAME},one.test,8081`);
    using keeps = provide(server.server);
    using drops = provide(server.server, { empty: "drop" });
    await keeps.shows("10.0.0.1:8081");
    await drops.shows("10.0.0.1:8081");
    await server.stop();
    await drops.logs("could not be looked up");
    expect(drops.addresses).toEqual(["10.0.0.1:8081"]);
    await server.restart(HOSTS);
    await drops.shows();
    await keeps.logs(`${NAME} does not exist (NXDOMAIN)`);
    expect(keeps.addresses).toEqual(["10.0.0.1:8081"]);
  });

  test("60 targets with their addresses are all found", async () => {
    const numbers = Array.from({ length: 60 }, (_, i) => i + 1);
    await using server = await Dnsmasq.start(
      numbers.map((i) => `10.0.2.${i} host${i}.test\n`).join(""),
      ...numbers.map((i) => `--srv-host=${NAME},host${i}.test,${8000 + i}`),
    );
    using app = provide(server.server);
    await app.shows(...numbers.map((i) => `10.0.2.${i}:${8000 + i}`));
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

/** Answers the service with these records; targets are A 10.0.0.<n> for "host<n>.test". */
const serving =
  (...answers: Uint8Array[]): Script =>
  (asked) => {
    if (asked.type === RecordType.SRV) return [answerTo(asked, { answers })];
    const number = /^host(\d+)\.test$/.exec(asked.name)?.[1];
    if (asked.type === RecordType.AAAA || number === undefined)
      return [answerTo(asked, { code: number === undefined ? 3 : 0 })];
    return [answerTo(asked, { answers: [a(asked.name, `10.0.0.${number}`)] })];
  };

test("addresses that come along are not asked for again", async () => {
  const server = await scripted((asked) => [
    answerTo(asked, { answers: [srv(NAME, 0, 0, 80, "host1.test")], additional: [a("host1.test", "10.0.0.1")] }),
  ]);
  using app = provide(server.server, { family: 4 });
  await app.shows("10.0.0.1:80");
  expect(server.asked.map(({ type }) => type)).toEqual([RecordType.SRV]);
});

test("a family that did not come along is asked for", async () => {
  const server = await scripted((asked) => [
    asked.type === RecordType.SRV
      ? answerTo(asked, { answers: [srv(NAME, 0, 0, 80, "host1.test")], additional: [a("host1.test", "10.0.0.1")] })
      : answerTo(asked, { answers: [aaaa("host1.test", 1)] }),
  ]);
  using app = provide(server.server);
  await app.shows("10.0.0.1:80", "[2001:db8::1]:80");
  expect(server.asked.map(({ type }) => type)).toEqual([RecordType.SRV, RecordType.AAAA]);
});

test("a host with several addresses has its weight once, shared among them", async () => {
  const server = await scripted((asked) => [
    answerTo(asked, {
      answers: [srv(NAME, 0, 10, 80, "host1.test"), srv(NAME, 0, 10, 80, "host2.test")],
      additional: [a("host1.test", "10.0.0.1"), a("host2.test", "10.0.0.2"), a("host2.test", "10.0.0.3")],
    }),
  ]);
  using app = provide(server.server, { family: 4 });
  await app.shows("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80");
  expect(facts(app)).toEqual(["10.0.0.1:80 20 0", "10.0.0.2:80 10 0", "10.0.0.3:80 10 0"]);
});

test('a target of "." says that there is no such service (RFC 2782)', async () => {
  const server = await scripted(serving(srv(NAME, 0, 0, 80, "host1.test", 0)));
  using app = provide(server.server, { family: 4, empty: "drop" });
  await app.shows("10.0.0.1:80");
  server.script = serving(srv(NAME, 0, 0, 0, "", 0));
  await app.shows();
  expect(app.lines[0]).toContain("the service is said not to exist");
});

test("a target without an address is left out, and said", async () => {
  const server = await scripted(serving(srv(NAME, 0, 0, 80, "host1.test", 0), srv(NAME, 0, 0, 80, "gone.test", 0)));
  using app = provide(server.server, { family: 4 });
  await app.shows("10.0.0.1:80");
  expect(app.lines[0]).toContain('error="gone.test does not exist (NXDOMAIN)"');
});

test("a target that cannot be looked up keeps its addresses while the others change", async () => {
  const records = [srv(NAME, 0, 0, 80, "host1.test", 0), srv(NAME, 0, 0, 80, "host2.test", 0)];
  const server = await scripted(serving(...records));
  using app = provide(server.server, { family: 4 });
  await app.shows("10.0.0.1:80", "10.0.0.2:80");
  const more = serving(...records, srv(NAME, 0, 0, 80, "host3.test", 0));
  server.script = (asked) => (asked.name === "host2.test" ? [answerTo(asked, { code: 2 })] : more(asked));
  await app.shows("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80");
  expect(app.lines[0]).toContain("answered SERVFAIL for host2.test");
});

test("the shortest lifetime of records and addresses counts", async () => {
  const server = await scripted((asked) => [
    answerTo(asked, {
      answers: [srv(NAME, 0, 0, 80, "host1.test", 3600)],
      additional: [a("host1.test", "10.0.0.1", 0)],
    }),
  ]);
  using app = provide(server.server, { family: 4 });
  await app.shows("10.0.0.1:80");
  await until(() => server.asked.length > 3);
});
