import { afterEach, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../../test/support/until.ts";
import { type BoardView, ChallengeBoard } from "./challenge-board.ts";
import { FolderStore } from "./folder-store.ts";

const never = new AbortController().signal;
const boards: ChallengeBoard[] = [];
const folders: string[] = [];
afterEach(() => {
  for (const board of boards.splice(0)) board.stop();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "lintel-board-"));
  folders.push(folder);
  return folder;
}

function machine(folder: string | null) {
  const views: BoardView[] = [];
  const board = new ChallengeBoard({
    shared: folder === null ? null : new FolderStore(folder),
    lookMs: 10,
    publish: async (view) => void views.push(view),
  });
  boards.push(board);
  board.start();
  return { board, views };
}

const task = (token: string) => ({ name: "a.example", token, answer: `${token}.thumbprint` });

test("what is presented hangs there until it is withdrawn", async () => {
  const { board, views } = machine(null);
  await board.http.present(task("one"), never);
  await board.http.present(task("two"), never);
  expect(views.at(-1)?.tokens).toEqual({ one: "one.thumbprint", two: "two.thumbprint" });
  await board.http.withdraw(task("one"));
  expect(views.at(-1)?.tokens).toEqual({ two: "two.thumbprint" });
  await board.http.withdraw(task("one"));
  expect(views).toHaveLength(3);
});

test("the certificate of tls-alpn-01 has the name and the digest, critical (RFC 8737 §3)", async () => {
  const { board, views } = machine(null);
  await board.tls.present(task("one"), never);
  const [certificate] = views.at(-1)!.challenges;
  const leaf = new X509Certificate(certificate!.cert);
  expect(leaf.subjectAltName).toBe("DNS:a.example");
  const digest = new Bun.CryptoHasher("sha256").update("one.thumbprint").digest("hex");
  // OID 1.3.6.1.5.5.7.1.31, critical TRUE, OCTET STRING of an OCTET STRING of 32 octets.
  expect(leaf.raw.toString("hex")).toContain(`06082b0601050507011f0101ff04220420${digest}`);
  await board.tls.withdraw(task("one"));
  expect(views.at(-1)?.challenges).toEqual([]);
});

test("machines that share a store show each other's challenges, and no longer than they hang there", async () => {
  const folder = newFolder();
  const [one, other] = [machine(folder), machine(folder)];
  await one.board.http.present(task("shared"), never);
  await one.board.tls.present(task("shared"), never);
  await until(() => other.board.view.challenges.length === 1, "the other's certificate");
  expect(other.board.view.tokens).toEqual({ shared: "shared.thumbprint" });
  expect(other.board.view).toEqual(one.board.view);
  expect(other.views.at(-1)).toEqual(one.board.view);
  await one.board.http.withdraw(task("shared"));
  await one.board.tls.withdraw(task("shared"));
  await until(() => Object.keys(other.board.view.tokens).length + other.board.view.challenges.length === 0, "empty");
});

test("what a machine left that died is taken away", async () => {
  const folder = newFolder();
  const store = new FolderStore(folder);
  const note = { kind: "token", token: "old", answer: "old.x" };
  await store.write("challenges/http-01 old", JSON.stringify({ ...note, until: Date.now() - 1 }));
  const { board } = machine(folder);
  await until(() => readdirSync(join(folder, "challenges")).length === 0, "swept");
  expect(board.view.tokens).toEqual({});
});

test("what somebody else has put there keeps no note from hanging", async () => {
  const folder = newFolder();
  const store = new FolderStore(folder);
  const until1h = Date.now() + 3_600_000;
  const odd = ["", "{", "null", "[]", JSON.stringify({ kind: "certificate", name: "a.example", until: until1h })];
  for (const [i, text] of odd.entries()) await store.write(`challenges/${i}`, text);
  for (const name of ["100%", "%2E%2E", "http-01 plain"]) writeFileSync(join(folder, "challenges", name), "x");
  mkdirSync(join(folder, "challenges", "folder"));
  const note = { kind: "token", token: "good", answer: "good.x", until: until1h };
  await store.write("challenges/http-01 good", JSON.stringify(note));
  const { board } = machine(folder);
  await until(() => board.view.tokens.good === "good.x", "the good one");
  expect(board.view).toEqual({ tokens: { good: "good.x" }, challenges: [] });
});
