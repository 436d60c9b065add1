/** One certificate from one CA: order, challenges, signing request, download (RFC 8555 §7.1.6, §7.4). */
import type { AcmeConfig } from "../config/gateway-config.ts";
import type { CaAuthorization, CaChallenge, CaOrder } from "./ca-answers.ts";
import { type CaClient, newPrivateKey, newSigningRequest } from "./ca-client.ts";
import { CaProblem, problemOf } from "./ca-problem.ts";
import type { ChallengeSolver } from "./challenge.ts";
import { pause } from "./pause.ts";

export interface OrderWish {
  /** A host name, or one with "*." before it. */
  readonly name: string;
  readonly keyKind: AcmeConfig["keyKind"];
  /** Best first. */
  readonly solvers: readonly ChallengeSolver[];
  /** Id of the certificate that is renewed. */
  readonly replaces: string | null;
}

export interface OrderedCertificate {
  /** PEM chain, leaf first. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
}

/** How often a CA is asked how far it is; at most as late as `obeyed` if it says so itself. */
const LOOK_MS = { first: 200, most: 5000, obeyed: 60_000 };

/** @throws {CaProblem} or the signal's reason */
export async function orderCertificate(
  client: CaClient,
  wish: OrderWish,
  signal: AbortSignal,
): Promise<OrderedCertificate> {
  const key = await newPrivateKey(wish.keyKind);
  const signingRequest = await newSigningRequest(wish.name, key);
  let order = await client.order(wish.name, wish.replaces, signal);
  for (const url of order.authorizations) await authorize(client, url, wish.solvers, signal);
  order = await settled(client, order, "pending", signal);
  if (order.status === "ready") order = await client.finalize(order, signingRequest, signal);
  order = await settled(client, order, "processing", signal);
  if (order.status !== "valid") throw new CaProblem("", `the order is ${order.status} instead of valid`);
  return { cert: await client.download(order, signal), key };
}

/** Waits until the order is not in this state any more. */
async function settled(
  client: CaClient,
  order: CaOrder,
  state: CaOrder["status"],
  signal: AbortSignal,
): Promise<CaOrder> {
  let now = order;
  for (let waitMs = LOOK_MS.first; ; waitMs = Math.min(waitMs * 2, LOOK_MS.most)) {
    if (now.status === "invalid") throw problemOf("the order", now.error ?? {}, "it is invalid");
    // After the last challenge it may be pending for a moment still, and processing once it is to be ready.
    if (now.status !== state && now.status !== "processing") return now;
    await pause(lookAfterMs(waitMs, now.askAgainMs), signal);
    now = await client.look(now, signal);
  }
}

async function authorize(
  client: CaClient,
  url: string,
  solvers: readonly ChallengeSolver[],
  signal: AbortSignal,
): Promise<void> {
  const authorization = await client.authorization(url, signal);
  // The CA remembers that the name is ours from an order before.
  if (authorization.status === "valid") return;
  if (authorization.status !== "pending") throw new CaProblem("", `the authorization is ${authorization.status}`);
  const [solver, challenge] = choose(authorization, solvers);
  const answer = await client.answerOf(challenge);
  const task = { name: authorization.identifier.value, token: challenge.token, answer };
  try {
    await solver.present(task, signal);
    await client.complete(challenge, signal);
    await validated(client, authorization, challenge.type, signal);
  } catch (thrown) {
    if (thrown instanceof CaProblem) throw thrown;
    signal.throwIfAborted();
    throw new CaProblem("", `${solver.type}: ${(thrown as Error).message}`);
  } finally {
    await solver.withdraw(task).catch(() => {});
  }
}

function choose(
  { challenges, identifier }: CaAuthorization,
  solvers: readonly ChallengeSolver[],
): readonly [ChallengeSolver, CaChallenge] {
  for (const solver of solvers) {
    const challenge = challenges.find(({ type }) => type === solver.type);
    if (challenge !== undefined) return [solver, challenge];
  }
  const offered = challenges.map(({ type }) => type).join(", ");
  const can = solvers.map(({ type }) => type).join(", ");
  throw new CaProblem(
    "",
    `for ${identifier.value} the CA offers ${offered || "no challenge"}, and we can ${can || "none"}`,
  );
}

async function validated(client: CaClient, { url }: CaAuthorization, type: string, signal: AbortSignal): Promise<void> {
  let askAgainMs: number | null = null;
  for (let waitMs = LOOK_MS.first; ; waitMs = Math.min(waitMs * 2, LOOK_MS.most)) {
    await pause(lookAfterMs(waitMs, askAgainMs), signal);
    const now = await client.authorization(url, signal);
    if (now.status === "valid") return;
    askAgainMs = now.askAgainMs;
    if (now.status === "pending") continue;
    const failed = now.challenges.find((one) => one.type === type);
    throw problemOf(type, failed?.error ?? {}, `the authorization is ${now.status}`);
  }
}

/** RFC 8555 §7.4, §7.5.1: Retry-After says when to look again. */
const lookAfterMs = (waitMs: number, askAgainMs: number | null): number =>
  Math.max(waitMs, Math.min(askAgainMs ?? 0, LOOK_MS.obeyed));
