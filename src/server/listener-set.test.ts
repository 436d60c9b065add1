import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { encodeSockaddr } from "../net/address.ts";
import { libc, SOCK_CLOEXEC } from "../net/libc.ts";
import { openSockets, Peer, until } from "../net/testing.ts";
import type { ListenSpec } from "./listen-spec.ts";
import { type HeldListener, ListenErrors, ListenerSet } from "./listener-set.ts";

const sets: ListenerSet[] = [];
afterEach(() => {
  for (const set of sets.splice(0)) set.close();
});

async function create(...listeners: ListenSpec[]) {
  const set = new ListenerSet(2);
  sets.push(set);
  (await set.prepare(listeners)).commit();
  return set;
}

const listener = (name: string, address = "127.0.0.1:0", backlog = 16): ListenSpec => ({
  kind: "http",
  name,
  address,
  backlog,
});

const ids = (held: readonly HeldListener[]) => held.map(({ id }) => id);

function connects({ address }: HeldListener): boolean {
  try {
    new Peer(encodeSockaddr(address)).close();
    return true;
  } catch {
    return false;
  }
}

test("a listener of the same address is kept, whatever else is said of it, with what waits in its queue", async () => {
  const set = await create(listener("web"));
  const [web] = set.all;
  using _ = new Peer(encodeSockaddr(web!.address));
  const change = await set.prepare([{ ...listener("shop", "127.0.0.1:0", 64), kind: "tcp" }]);
  expect([change.added, change.removed]).toEqual([[], []]);
  change.commit();
  set.closeRemoved(change);
  expect(set.all).toMatchObject([{ id: web!.id, kind: "tcp", name: "shop", fds: web!.fds }]);
  // One wait for both: one that is left behind would go on accepting at a number that is another test's by then.
  let accepted = -1;
  await until(() => {
    accepted = Math.max(...web!.fds.map((fd) => libc.accept4(fd, null, null, SOCK_CLOEXEC)));
    return accepted >= 0;
  }, "the connection");
  libc.close(accepted);
});

test("what is added is bound before the commit, what is removed listens until it is closed", async () => {
  const set = await create(listener("web"), listener("old", "127.0.0.1:00"));
  const [web, old] = set.all;
  const change = await set.prepare([listener("web"), listener("new", "[::ffff:127.0.0.1]:0")]);
  expect([ids(change.added).length, ids(change.removed)]).toEqual([1, [old!.id]]);
  expect(connects(change.added[0]!)).toBe(true);
  expect(set.all.map(({ name }) => name)).toEqual(["web", "old"]);
  change.commit();
  expect(set.all.map(({ name }) => name)).toEqual(["web", "new"]);
  expect(connects(old!)).toBe(true);
  set.closeRemoved(change);
  expect(connects(old!)).toBe(false);
  expect(connects(web!)).toBe(true);
});

test("an abort closes what was added and nothing else", async () => {
  const set = await create(listener("web"));
  const before = openSockets();
  const change = await set.prepare([listener("web"), listener("new", "127.0.0.1:00")]);
  expect(openSockets()).toBe(before + 2);
  change.abort();
  expect(openSockets()).toBe(before);
  expect(connects(set.all[0]!)).toBe(true);
});

test("every listener that cannot be bound is told, and none of the others stays", async () => {
  const set = await create(listener("web"));
  const taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const before = openSockets();
  const wanted = [
    listener("a", `127.0.0.1:${taken.port}`),
    listener("b", "127.0.0.1:00"),
    listener("c", "unix:/no/such/x"),
  ];
  const refused: ListenErrors = await set.prepare(wanted).then(
    () => Promise.reject(new Error("bound")),
    (thrown) => thrown,
  );
  expect(refused).toBeInstanceOf(ListenErrors);
  expect(refused.all.map(({ message }) => /listener "(\w)"/.exec(message)?.[1])).toEqual(["a", "c"]);
  expect(openSockets()).toBe(before);
  taken.stop(true);
});

test("two listeners on ports that the system chooses keep theirs by name, in any order", async () => {
  const set = await create(listener("a"), listener("b"));
  const [a, b] = set.all;
  const change = await set.prepare([listener("b"), listener("a")]);
  expect(ids(change.next)).toEqual([b!.id, a!.id]);
  const renamed = await set.prepare([listener("c"), listener("a")]);
  expect(ids(renamed.next)).toEqual([b!.id, a!.id]);
});

test("the file of a unix socket goes with its listener", async () => {
  const folder = mkdtempSync(`${tmpdir()}/lintel-listen-`);
  const set = await create(listener("web"), listener("local", `unix:${folder}/x`));
  const change = await set.prepare([listener("web")]);
  change.commit();
  expect(existsSync(`${folder}/x`)).toBe(true);
  set.closeRemoved(change);
  expect(existsSync(`${folder}/x`)).toBe(false);
  rmSync(folder, { recursive: true });
});
