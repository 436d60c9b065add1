/**
 * The clients that ask most, in bounded memory: the space-saving sketch (Metwally, Agrawal, El
 * Abbadi 2005). A client that is not among the `room` counted ones takes the place of the smallest
 * and its count, so a count is never too low, and too high by `over` at most. Whoever makes more
 * than 1/room of all requests is in it.
 */
export interface ClientCount {
  /** Address. */
  readonly client: string;
  readonly requests: number;
  /** `requests` may be too high by this much. */
  readonly over: number;
  /** Of these, answered with 5xx; counted since the client got its place. */
  readonly errors: number;
  /** Octets of response content, since then. */
  readonly octets: number;
}

type Place = { -readonly [Key in keyof ClientCount]: ClientCount[Key] };

export class ClientSketch {
  readonly #room: number;
  #places = new Map<string, Place>();

  constructor(room: number) {
    this.#room = room;
  }

  count(client: string, isError: boolean, octets: number): void {
    const place = this.#places.get(client) ?? this.#make(client);
    place.requests++;
    if (isError) place.errors++;
    place.octets += octets;
  }

  /** What was counted since the last call, most requests first. */
  take(): ClientCount[] {
    const taken = [...this.#places.values()].sort((a, b) => b.requests - a.requests);
    this.#places = new Map();
    return taken;
  }

  #make(client: string): Place {
    const place: Place = { client, requests: 0, over: 0, errors: 0, octets: 0 };
    if (this.#places.size >= this.#room) {
      const least = this.#least();
      this.#places.delete(least.client);
      place.requests = place.over = least.requests;
    }
    this.#places.set(client, place);
    return place;
  }

  #least(): Place {
    let least: Place | null = null;
    for (const place of this.#places.values()) if (least === null || place.requests < least.requests) least = place;
    return least!;
  }
}
