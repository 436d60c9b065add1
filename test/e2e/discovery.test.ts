/** Endpoints that are found: from DNS and from files, changing under traffic, and while those who know them fail. */
import { describe, expect, test } from "bun:test";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needs, program } from "../../src/base/testing.ts";
import { Dnsmasq, dnsmasqPath } from "../../src/upstream/discovery/dns/testing.ts";
import { Gateway } from "../support/gateway.ts";
import { Origin } from "../support/origin.ts";

/** Origin servers that answer with their address, on one port of several loopback addresses. */
async function originsAt<Hosts extends string[]>(
  ...hosts: Hosts
): Promise<{ [I in keyof Hosts]: Origin } & Disposable> {
  for (let tries = 0; ; tries++) {
    const list: Origin[] = [];
    try {
      for (const host of hosts) list.push(await Origin.start({ host, port: list[0]?.port ?? 0 }));
    } catch (thrown) {
      // Somebody has that port on another address.
      for (const origin of list) origin.stop();
      if (tries === 10) throw thrown;
      continue;
    }
    for (const origin of list) origin.script = (request) => request.reply({ content: origin.address });
    return Object.assign(list as { [I in keyof Hosts]: Origin }, {
      [Symbol.dispose]() {
        for (const origin of list) origin.stop();
      },
    });
  }
}

const serve = (discover: unknown, upstream: object = {}, files: Record<string, string> = {}) =>
  Gateway.start({ upstreams: { app: { discover, ...upstream } }, sites: [{ to: "app" }] }, { files });

/** Asks until the answers come from just these endpoints, and none fails meanwhile. */
async function reaches(gateway: Gateway, ...origins: Origin[]): Promise<void> {
  const wanted = origins.map(({ address }) => address).sort();
  let seen: string[] = [];
  for (const end = performance.now() + 20_000; performance.now() < end; ) {
    const answers: string[] = [];
    for (let i = 0; i < origins.length * 3; i++) {
      const response = await fetch(gateway.url());
      expect(response.status).toBe(200);
      answers.push(await response.text());
    }
    seen = [...new Set(answers)].sort();
    if (Bun.deepEquals(seen, wanted)) return;
  }
  expect(seen).toEqual(wanted);
}

/** Asks until it gets this status. */
async function answers(gateway: Gateway, status: number): Promise<void> {
  let seen = 0;
  for (const end = performance.now() + 20_000; seen !== status && performance.now() < end; )
    seen = (await fetch(gateway.url())).status;
  expect(seen).toBe(status);
}

needs(program("dnsmasq", dnsmasqPath)).describe("by DNS", () => {
  const hosts = (...addresses: string[]) => addresses.map((address) => `${address} app.test\n`).join("");

  const dns = (server: Dnsmasq, port: number, more: object = {}) => ({
    dns: { name: "app.test", port, servers: server.server, floor: "100ms", ...more },
  });

  test("exchanges go to the addresses that a name has now, and none fails while they change", async () => {
    using origins = await originsAt("127.0.0.2", "127.0.0.3", "127.0.0.4");
    const [two, three, four] = origins;
    await using server = await Dnsmasq.start(hosts("127.0.0.2", "127.0.0.3"));
    await using gateway = await serve(dns(server, two.port));
    await reaches(gateway, two, three);
    server.setHosts(hosts("127.0.0.3", "127.0.0.4"));
    await reaches(gateway, three, four);
    server.setHosts(hosts("127.0.0.2"));
    await reaches(gateway, two);
  });

  test("an exchange on an endpoint that goes is finished", async () => {
    using origins = await originsAt("127.0.0.2", "127.0.0.3");
    const [old, next] = origins;
    await using server = await Dnsmasq.start(hosts("127.0.0.2"));
    await using gateway = await serve(dns(server, old.port));
    await reaches(gateway, old);
    const { promise: held, resolve: letGo } = Promise.withResolvers<void>();
    old.script = async (request) => {
      await held;
      await request.reply({ content: "late" });
    };
    const late = fetch(gateway.url());
    await old.next();
    server.setHosts(hosts("127.0.0.3"));
    await gateway.says("endpoints changed");
    await reaches(gateway, next);
    letGo();
    expect(await (await late).text()).toBe("late");
  });

  test("a DNS server that dies takes no endpoint along", async () => {
    using origins = await originsAt("127.0.0.2");
    await using server = await Dnsmasq.start(hosts("127.0.0.2"));
    await using gateway = await serve(dns(server, origins[0].port));
    await reaches(gateway, origins[0]);
    await server.stop();
    await gateway.says("endpoints could not be looked up");
    await reaches(gateway, origins[0]);
  });

  test("a name that comes into being after the start is served from then on", async () => {
    using origins = await originsAt("127.0.0.2");
    await using server = await Dnsmasq.start("");
    await using gateway = await serve(dns(server, origins[0].port, { empty: "drop" }));
    expect((await fetch(gateway.url())).status).toBe(503);
    server.setHosts(hosts("127.0.0.2"));
    await answers(gateway, 200);
    server.setHosts("");
    await answers(gateway, 503);
  });

  test("the endpoints of a service are used by its priorities, ports and hosts", async () => {
    using origins = await originsAt("127.0.0.2");
    using others = await originsAt("127.0.0.2");
    const [first, second] = [origins[0], others[0]];
    const name = "_http._tcp.app.test";
    await using server = await Dnsmasq.start(
      hosts("127.0.0.2"),
      `--srv-host=${name},app.test,${first.port},10,5`,
      `--srv-host=${name},app.test,${second.port},20,5`,
    );
    await using gateway = await serve({ "dns-srv": { name, servers: server.server, floor: "100ms" } });
    await reaches(gateway, first);
    await server.restart(
      hosts("127.0.0.2"),
      `--srv-host=${name},app.test,${first.port},10,5`,
      `--srv-host=${name},app.test,${second.port},10,5`,
    );
    await reaches(gateway, first, second);
  });

  test("providers add up with what stands in the config", async () => {
    using origins = await originsAt("127.0.0.2", "127.0.0.3", "127.0.0.4");
    const [two, three, four] = origins;
    await using server = await Dnsmasq.start(hosts("127.0.0.2"));
    await using gateway = await serve(
      [dns(server, two.port), { file: { path: "more.yaml" } }],
      { endpoints: [four.address] },
      { "more.yaml": `- ${three.address}\n` },
    );
    await reaches(gateway, two, three, four);
  });
});

describe("by a file", () => {
  test("exchanges go to what the file says now; while it is broken, to what it said last", async () => {
    using origins = await originsAt("127.0.0.2", "127.0.0.3");
    const [two, three] = origins;
    await using gateway = await serve({ file: { path: "app.yaml" } }, {}, { "app.yaml": `- ${two.address}\n` });
    const file = join(gateway.directory, "app.yaml");
    await reaches(gateway, two);
    writeFileSync(`${file}.new`, `- ${two.address}\n- ${three.address}\n`);
    renameSync(`${file}.new`, file);
    await reaches(gateway, two, three);
    writeFileSync(file, `- ${three.address}\n- nonsense\n`);
    await gateway.says("app.yaml:2:3: error[bad-address]");
    await reaches(gateway, two, three);
    writeFileSync(file, `- ${three.address}\n`);
    await reaches(gateway, three);
  });

  test("a file that is not there yet is served once it is", async () => {
    using origins = await originsAt("127.0.0.2");
    await using gateway = await serve({ file: { path: "app.json" } });
    expect((await fetch(gateway.url())).status).toBe(503);
    writeFileSync(join(gateway.directory, "app.json"), JSON.stringify([origins[0].address]));
    await answers(gateway, 200);
  });
});
