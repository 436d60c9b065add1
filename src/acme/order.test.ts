/** Against pebble; what it does not do by itself, a server of ours in front of it does (`FrontCa`). */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { until } from "../../test/support/until.ts";
import { needs, program } from "../base/testing.ts";
import { CaClient, newPrivateKey } from "./ca-client.ts";
import { CaProblem } from "./ca-problem.ts";
import type { ChallengeSolver, ChallengeTask } from "./challenge.ts";
import { ChallengeBoard } from "./challenge-board.ts";
import { type OrderWish, orderCertificate } from "./order.ts";
import { FrontCa, freePort, HttpAnswers, Pebble, pebblePath, problem } from "./testing.ts";

const never = new AbortController().signal;

/** Says what was asked of it. */
class Noting implements ChallengeSolver {
  readonly calls: string[] = [];
  readonly #solver: ChallengeSolver;
  /** Comes before the record is there. */
  before: (signal: AbortSignal) => unknown = () => {};

  constructor(solver: ChallengeSolver) {
    this.#solver = solver;
  }

  get type() {
    return this.#solver.type;
  }

  async present(task: ChallengeTask, signal: AbortSignal): Promise<void> {
    this.calls.push(`present ${task.name}`);
    await this.before(signal);
    await this.#solver.present(task, signal);
  }

  async withdraw(task: ChallengeTask): Promise<void> {
    this.calls.push(`withdraw ${task.name}`);
    await this.#solver.withdraw(task);
  }
}

needs(program("pebble", pebblePath)).describe("against pebble", () => {
  let pebble: Pebble;
  let front: FrontCa;
  let answers: HttpAnswers;
  let board: ChallengeBoard;
  let client: CaClient;
  let names = 0;
  beforeAll(async () => {
    pebble = await Pebble.start();
    front = new FrontCa(pebble, await freePort());
    answers = new HttpAnswers(pebble.httpPort);
    board = new ChallengeBoard({ shared: null, publish: answers.publisher() });
    const ca = { name: "a CA", directory: front.url, roots: null, accountBinding: null, preferredChain: null };
    client = new CaClient({ ca, roots: front.roots, accountKey: await newPrivateKey("ecdsa-p256"), accountUrl: null });
    await client.register(null, never);
  });
  afterAll(async () => {
    client.close();
    await answers.stop();
    await front.stop();
    await pebble.stop();
  });
  afterEach(() => {
    answers.isHijacked = false;
    front.interfere = () => null;
    front.alter = (answer) => answer;
    front.requests.length = 0;
  });

  function wish(name: string, ...solvers: readonly ChallengeSolver[]): OrderWish {
    return { name, keyKind: "ecdsa-p256", solvers, replaces: null };
  }

  /** What an order comes to that gets nothing, and what its solver was asked to do. */
  async function refusal(
    name: string,
    solver = new Noting(board.http),
    signal = never,
  ): Promise<[CaProblem, string[]]> {
    const thrown = await orderCertificate(client, wish(name, solver), signal).then(
      () => null,
      (reason: unknown) => reason,
    );
    expect(thrown).toBeInstanceOf(CaProblem);
    expect(board.view.tokens).toEqual({});
    return [thrown as CaProblem, solver.calls];
  }

  const shown = (name: string) => [`present ${name}`, `withdraw ${name}`];
  /** One that pebble has not heard of: it may remember others. */
  const freshName = () => `${++names}.test`;
  const asked = (path: string) => front.requests.filter((one) => one.startsWith(path)).length;

  test("a certificate is got, and its challenge is taken away again", async () => {
    const name = freshName();
    const solver = new Noting(board.http);
    const { cert, key } = await orderCertificate(client, wish(name, solver), never);
    const leaf = new X509Certificate(cert);
    expect([leaf.subjectAltName, leaf.verify(new X509Certificate(await pebble.issuer()).publicKey)]).toEqual([
      `DNS:${name}`,
      false, // there is one between
    ]);
    expect(cert.split("BEGIN CERTIFICATE").length - 1).toBe(2);
    expect(key).toContain("PRIVATE KEY");
    expect(solver.calls).toEqual(shown(name));
    expect(board.view.tokens).toEqual({});
  }, 120_000);

  test("a name that the CA remembers needs no challenge (RFC 8555 §7.1.4)", async () => {
    const remembering = await Pebble.start({ authorizationReuse: 100, httpPort: pebble.httpPort });
    const { url: directory, roots } = remembering;
    const ca = { name: "a CA", directory, roots: null, accountBinding: null, preferredChain: null };
    const other = new CaClient({ ca, roots, accountKey: await newPrivateKey("ecdsa-p256"), accountUrl: null });
    try {
      await other.register(null, never);
      const solver = new Noting(board.http);
      for (const calls of [shown("kept.test"), shown("kept.test")]) {
        const { cert } = await orderCertificate(other, wish("kept.test", solver), never);
        expect([new X509Certificate(cert).subjectAltName, solver.calls]).toEqual(["DNS:kept.test", calls]);
      }
    } finally {
      other.close();
      await remembering.stop();
    }
  }, 120_000);

  test("a challenge that fails: the CA's own words, and nothing stays behind (RFC 8555 §7.1.6)", async () => {
    const name = freshName();
    answers.isHijacked = true;
    const [{ kind, message }, calls] = await refusal(name);
    expect(kind).toBe("unauthorized");
    expect(message).toMatch(/^http-01: .* did not match .* != "parked".* \(unauthorized\)$/i);
    expect(calls).toEqual(shown(name));
  }, 120_000);

  test("a name whose address nobody answers at", async () => {
    const name = freshName();
    await answers.stop();
    try {
      const [{ kind, message }] = await refusal(name);
      expect([kind, message.slice(0, 9)]).toEqual(["connection", "http-01: "]);
    } finally {
      answers = new HttpAnswers(pebble.httpPort);
      board = new ChallengeBoard({ shared: null, publish: answers.publisher() });
    }
  }, 120_000);

  test.each(["invalid", "deactivated", "expired", "revoked"])(
    "an authorization that is %s from the start is not begun with",
    async (status) => {
      const name = freshName();
      front.alter = (answer, path) => (path.startsWith("/authZ/") ? { ...answer, status } : answer);
      const [{ message }, calls] = await refusal(name);
      expect([message, calls]).toEqual([`the authorization is ${status}`, []]);
    },
    120_000,
  );

  test.each(["deactivated", "expired", "revoked"])(
    "an authorization that is %s while it is validated",
    async (status) => {
      const name = freshName();
      front.alter = (answer, path) =>
        path.startsWith("/authZ/") && asked("POST /authZ/") > 1 ? { ...answer, status } : answer;
      const [{ message }, calls] = await refusal(name);
      expect([message, calls]).toEqual([`http-01: the authorization is ${status}`, shown(name)]);
    },
    120_000,
  );

  test.each([
    [
      { type: "urn:ietf:params:acme:error:caa", detail: "forbidden by CAA" },
      "the order: forbidden by CAA (caa)",
      "caa",
    ],
    [undefined, "the order: it is invalid", ""],
    ["odd", "the order: it is invalid", ""],
    [{ type: 5 }, "the order: it is invalid", ""],
  ])(
    "an order that becomes invalid: %j",
    async (error, said, kind) => {
      const name = freshName();
      front.alter = (answer, path) =>
        path.startsWith("/my-order/") ? { ...answer, status: "invalid", error } : answer;
      const [problem_] = await refusal(name);
      expect([problem_.message, problem_.kind]).toEqual([said, kind]);
    },
    120_000,
  );

  test("an order that becomes invalid after its signing request was taken", async () => {
    const name = freshName();
    const error = { type: "urn:ietf:params:acme:error:serverInternal", detail: "the signer is away" };
    front.alter = (answer, path) => {
      if (path.startsWith("/finalize-order/")) return { ...answer, status: "processing" };
      const isLate = path.startsWith("/my-order/") && asked("POST /finalize-order/") > 0;
      return isLate ? { ...answer, status: "invalid", error } : answer;
    };
    const [{ message }] = await refusal(name);
    expect(message).toBe("the order: the signer is away (serverInternal)");
  }, 120_000);

  test("an order in a state that RFC 8555 does not know", async () => {
    const name = freshName();
    front.alter = (answer, path) => (path.startsWith("/my-order/") ? { ...answer, status: "dreaming" } : answer);
    const [{ message }] = await refusal(name);
    expect(message).toBe("the order is dreaming instead of valid");
  }, 120_000);

  test("a signing request that the CA does not take", async () => {
    const name = freshName();
    front.interfere = (_request, path) =>
      path.startsWith("/finalize-order/") ? problem("badCSR", "no such curve", 400) : null;
    const [{ message, kind }] = await refusal(name);
    expect([message, kind]).toEqual(["the certificate: no such curve (badCSR)", "badCSR"]);
  }, 120_000);

  test("a name that the CA does not certify", async () => {
    const [{ kind, message, isFinal }, calls] = await refusal("not_a_name.test");
    expect([kind === "rejectedIdentifier" || kind === "malformed", calls]).toEqual([true, []]);
    expect(message).toStartWith("a new order: ");
    expect(isFinal).toBe(kind === "rejectedIdentifier");
  }, 120_000);

  test("a challenge that the CA does not want to look at is taken away", async () => {
    const name = freshName();
    front.interfere = (_request, path) =>
      path.startsWith("/chalZ/") ? problem("malformed", "not any more", 400) : null;
    const [{ message }, calls] = await refusal(name);
    expect([message, calls]).toEqual(["the challenge: not any more (malformed)", shown(name)]);
  }, 120_000);

  test("a solver that fails is told by its type, taken back, and the CA is not asked to look", async () => {
    const name = freshName();
    const solver = new Noting(board.http);
    solver.before = () => Promise.reject(new Error("no such zone"));
    const [{ message, kind }, calls] = await refusal(name, solver);
    expect([message, kind, calls]).toEqual(["http-01: no such zone", "", shown(name)]);
    expect(asked("POST /chalZ/")).toBe(0);
  }, 120_000);

  test("the first solver that the CA offers something for is used; if there is none, both are named", async () => {
    const name = freshName();
    const dns = new Noting({ type: "dns-01", present: async () => {}, withdraw: async () => {} });
    const http = new Noting(board.http);
    front.alter = (answer, path) => {
      if (!path.startsWith("/authZ/")) return answer;
      const challenges = answer["challenges"] as { type: string }[];
      return { ...answer, challenges: challenges.filter(({ type }) => type !== "dns-01") };
    };
    await orderCertificate(client, wish(name, dns, http), never);
    expect([dns.calls, http.calls]).toEqual([[], shown(name)]);
    const [{ message }] = await refusal(freshName(), dns);
    expect(message).toMatch(
      /^for \d+\.test the CA offers (http-01, tls-alpn-01|tls-alpn-01, http-01), and we can dns-01$/,
    );
    await expect(orderCertificate(client, wish(freshName()), never)).rejects.toThrow("and we can none");
    front.alter = (answer, path) => (path.startsWith("/authZ/") ? { ...answer, challenges: [] } : answer);
    const [none] = await refusal(freshName());
    expect(none.message).toEndWith("the CA offers no challenge, and we can http-01");
  }, 120_000);

  test("an order that is called off while it is validated takes its challenge away, and says why", async () => {
    const name = freshName();
    front.alter = (answer, path) => (path.startsWith("/authZ/") ? { ...answer, status: "pending" } : answer);
    const calling = new AbortController();
    const reason = new Error("the gateway stops");
    const solver = new Noting(board.http);
    const ordering = orderCertificate(client, wish(name, solver), calling.signal);
    ordering.catch(() => {});
    await until(
      () => asked("POST /authZ/") > 2,
      () => JSON.stringify([front.requests, solver.calls]),
    );
    calling.abort(reason);
    await expect(ordering).rejects.toBe(reason);
    expect(solver.calls).toEqual(shown(name));
    expect(board.view.tokens).toEqual({});
  }, 120_000);

  test("an order that is called off while its solver works says why, too", async () => {
    const name = freshName();
    const calling = new AbortController();
    const reason = new Error("the gateway stops");
    const solver = new Noting(board.http);
    solver.before = (signal) => {
      calling.abort(reason);
      throw new Error(`the program ended with ${String(signal.aborted)}`);
    };
    await expect(orderCertificate(client, wish(name, solver), calling.signal)).rejects.toBe(reason);
    expect(solver.calls).toEqual(shown(name));
  }, 120_000);

  // By itself it would look a second time within half a second.
  test.each([
    ["an authorization", "/authZ/", 2],
    ["an order", "/my-order/", 1],
  ])(
    "%s is not looked at again before the CA says so (RFC 8555 §7.4, §7.5.1)",
    async (_what, path, looks) => {
      const name = freshName();
      const status = path === "/authZ/" ? "pending" : "processing";
      front.alter = (answer, at) => (at.startsWith(path) ? { ...answer, status } : answer);
      front.later = (at) => (at.startsWith(path) ? "3600" : null);
      const calling = new AbortController();
      const ordering = orderCertificate(client, wish(name, new Noting(board.http)), calling.signal);
      ordering.catch(() => {});
      await until(() => asked(`POST ${path}`) === looks, "looked at");
      await Bun.sleep(2000);
      calling.abort(new Error("enough"));
      await expect(ordering).rejects.toThrow("enough");
      front.later = () => null;
      expect(asked(`POST ${path}`)).toBe(looks);
    },
    120_000,
  );
});
