/** Showing a CA that a name is ours (RFC 8555 §8). */

export type ChallengeType = "http-01" | "tls-alpn-01" | "dns-01";

export interface ChallengeTask {
  /** Without "*.". */
  readonly name: string;
  readonly token: string;
  /** Key authorization; for dns-01 its digest, which is the record's value. */
  readonly answer: string;
}

/** One way to show it. */
export interface ChallengeSolver {
  readonly type: ChallengeType;
  /** What the CA looks for is there once this settles. @throws {Error} that says why it cannot be */
  present(task: ChallengeTask, signal: AbortSignal): Promise<void>;
  /** Takes it away again. Called once for each task, also if `present` failed. */
  withdraw(task: ChallengeTask): Promise<void>;
}
