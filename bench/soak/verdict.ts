/** How what came back is judged, whatever version of HTTP it came by. */

export type Verdict = "good" | "expected" | { readonly wrong: string };

export interface Judged {
  readonly status: number;
  /** Octets of content. */
  readonly length: number;
  /** All octets that came are those expected at their place. */
  readonly matches: boolean;
  /** The framing says that nothing is missing. */
  readonly complete: boolean;
}

/** A response that must be there as a whole. */
export function whole(received: Judged, length: number, status = 200): Verdict {
  const { status: got, complete, matches } = received;
  if (got !== status) return wrong(`status ${got}, not ${status}`);
  if (!complete) return wrong(`truncated after ${received.length} of ${length} octets`);
  if (received.length !== length) return wrong(`${received.length} octets, not ${length}`);
  return matches ? "good" : wrong("other octets than the path says");
}

/** A response that the origin server breaks off: cut for the client as well, or replaced by 502 or 504. */
export function broken(received: Judged): Verdict {
  const { status, complete, matches, length } = received;
  if (status === 502 || status === 504) return complete ? "expected" : wrong(`${status}, but truncated`);
  if (status !== 200) return wrong(`status ${status}`);
  if (complete) return wrong(`a response that the origin server broke off looked complete, with ${length} octets`);
  return matches ? "expected" : wrong("other octets than the path says, before the end");
}

/** A failure that must be told by this status. */
export function status(wanted: number): (received: Judged) => Verdict {
  return ({ status: got, complete }) => {
    if (got !== wanted) return wrong(`status ${got}, not ${wanted}`);
    return complete ? "expected" : wrong(`${got}, but truncated`);
  };
}

export function wrong(what: string): Verdict {
  return { wrong: what };
}

/** Compares content with what is expected as it arrives; with null anything goes. */
export class Check {
  length = 0;
  matches = true;
  readonly #expected: Buffer | null;

  constructor(expected: Buffer | null) {
    this.#expected = expected;
  }

  add(octets: Buffer): void {
    if (this.#expected !== null) {
      this.matches &&= this.#expected.subarray(this.length, this.length + octets.length).equals(octets);
    }
    this.length += octets.length;
  }
}

/** Any size, small ones more often. */
export function someLength(seed: number): number {
  return (Math.imul(seed, 2_654_435_761) >>> 0) % [100, 3000, 20_000, 200_000][seed % 4]!;
}
