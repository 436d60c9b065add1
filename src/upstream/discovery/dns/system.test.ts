import { expect, test } from "bun:test";
import { parseHosts, parseResolvConf, readHosts, readSystemServers } from "./system.ts";

const NOWHERE = { resolvConf: "/nonexistent/resolv.conf", hosts: "/nonexistent/hosts", port: 53 };

test("servers, search domains and ndots are read from resolv.conf", () => {
  const text = `# by hand
nameserver 10.0.0.53 ; the first
nameserver   fd00::53
search App.svc.cluster.local  svc.cluster.local. # inside
options edns0 ndots:5 rotate
`;
  expect(parseResolvConf(text)).toEqual({
    servers: [
      { host: "10.0.0.53", port: 53 },
      { host: "fd00::53", port: 53 },
    ],
    search: ["app.svc.cluster.local", "svc.cluster.local"],
    ndots: 5,
  });
});

test("the last of domain and search counts; ndots is 15 at most (resolv.conf(5))", () => {
  expect(parseResolvConf("search a b\ndomain c\noptions ndots:99")).toMatchObject({ search: ["c"], ndots: 15 });
  expect(parseResolvConf("domain c\nsearch .")).toMatchObject({ search: [], ndots: 1 });
});

test("without a server, or without the file, the server is on this machine", async () => {
  const local = [{ host: "127.0.0.1", port: 53 }];
  expect(parseResolvConf("search a").servers).toEqual(local);
  expect((await readSystemServers(NOWHERE)).servers).toEqual(local);
});

test("a name's addresses are gathered from all lines of the hosts file, each once", () => {
  const text =
    "127.0.0.1 localhost\n10.0.0.1 app.internal app # app2\n10.0.0.2\tAPP\n10.0.0.1 app\nfd00:0:0::1 app\nnonsense app\n";
  expect(parseHosts(text, "app")).toEqual(["10.0.0.1", "10.0.0.2", "fd00::1"]);
  expect(parseHosts(text, "app.internal")).toEqual(["10.0.0.1"]);
  expect(parseHosts(text, "app2")).toEqual([]);
});

test("localhost, and what is below it, is this machine even without a hosts file (RFC 6761 §6.3)", async () => {
  expect(await readHosts(NOWHERE, "localhost")).toEqual(["127.0.0.1", "::1"]);
  expect(await readHosts(NOWHERE, "app.localhost")).toEqual(["127.0.0.1", "::1"]);
  expect(await readHosts(NOWHERE, "notlocalhost")).toEqual([]);
});
