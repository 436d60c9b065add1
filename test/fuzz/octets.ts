/**
 * Octets to throw at a server: random ones, and real messages with something changed. All from one
 * seed, so that a run can be repeated.
 */

/** A small, fast generator (mulberry32); quality is no matter here, repeatability is. */
export class Random {
  #state: number;

  constructor(readonly seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 ≤ n < below */
  below(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  octets(length: number): Buffer {
    const made = Buffer.allocUnsafe(length);
    for (let i = 0; i < length; i++) made[i] = this.below(256);
    return made;
  }
}

const wire = (...lines: string[]) => lines.join("\r\n");

/** What a mutation starts from: one of each shape the decoder knows. */
const SEEDS: readonly string[] = [
  wire("GET / HTTP/1.1", "Host: a", "", ""),
  wire(
    "GET /path/to?query=1&b=%20 HTTP/1.1",
    "Host: example.com:8080",
    "User-Agent: fuzz/1 (x; y)",
    "Accept: */*, text/html;q=0.5",
    "Cookie: a=b; c=d",
    "",
    "",
  ),
  wire("POST / HTTP/1.1", "Host: a", "Content-Length: 11", "", "hello world"),
  wire(
    "POST / HTTP/1.1",
    "Host: a",
    "Transfer-Encoding: chunked",
    "",
    "5;ext=1",
    "hello",
    "6",
    " world",
    "0",
    "Trailer: x",
    "",
    "",
  ),
  wire("PUT /x HTTP/1.1", "Host: a", "Expect: 100-continue", "Content-Length: 3", "", "abc"),
  wire("GET http://other.example/abs?x HTTP/1.1", "Host: a", "", ""),
  wire("OPTIONS * HTTP/1.1", "Host: a", "", ""),
  wire("CONNECT a:443 HTTP/1.1", "Host: a:443", "", ""),
  wire("HEAD / HTTP/1.0", "Connection: keep-alive", "", ""),
  wire(
    "GET /socket HTTP/1.1",
    "Host: a",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Version: 13",
    "",
    "\x81\x05hello",
  ),
  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0",
  "GET /\r\n",
];

/** Pieces that matter to a parser, put in or in place of others. */
const TOKENS: readonly string[] = [
  "\r\n",
  "\n",
  "\r",
  "\0",
  " ",
  "\t",
  ":",
  ";",
  ",",
  "=",
  '"',
  "%",
  "%00",
  "%2e%2e",
  "/../",
  "//",
  "\x7f",
  "\x80",
  "\xff",
  "é",
  "Content-Length: 0\r\n",
  "Content-Length: 99999999999999999999\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding: identity\r\n",
  "Host: b\r\n",
  "Connection: close\r\n",
  "Connection: host, content-length\r\n",
  "Expect: 100-continue\r\n",
  "Upgrade: h2c\r\n",
  "TE: trailers\r\n",
  "0\r\n\r\n",
  "ffffffffffffffff\r\n",
  "-1\r\n",
  "7fffffff\r\n",
  "HTTP/1.1",
  "HTTP/9.9",
  " HTTP/1.1\r\n",
  "\r\n\r\n",
];

/** A stream of octets for one connection. */
export function fuzzConnection(random: Random): Buffer {
  switch (random.below(25)) {
    case 0:
    case 2:
      return random.octets(1 + random.below(4096));
    case 1:
      return long(random);
    default: {
      const requests = Array.from({ length: 1 + random.below(4) }, () =>
        mutate(Buffer.from(random.pick(SEEDS), "latin1"), random),
      );
      return Buffer.concat(requests);
    }
  }
}

/** One request with something changed, of those that stay HTTP. */
export function fuzzRequest(random: Random): Buffer {
  const seeds = SEEDS.filter((seed) => !/^CONNECT|^PRI|Upgrade:/m.test(seed));
  return mutate(Buffer.from(random.pick(seeds), "latin1"), random);
}

/** Something that grows without end. */
function long(random: Random): Buffer {
  const length = 1000 + random.below(200_000);
  const filler = random.pick(["a", "a: b\r\n", "/", ";", "0", "\r\n", " ", "%61", "1\r\na\r\n"]);
  const text = filler.repeat(Math.ceil(length / filler.length));
  return Buffer.from(
    random.pick([
      "",
      "GET /",
      "GET / HTTP/1.1\r\nHost: a\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n",
    ]) + text,
    "latin1",
  );
}

function mutate(seed: Buffer, random: Random): Buffer {
  let octets = seed;
  for (let changes = random.below(4); changes > 0; changes--) {
    const at = random.below(octets.length + 1);
    const before = octets.subarray(0, at);
    const rest = octets.subarray(at);
    switch (random.below(6)) {
      case 0: // one octet becomes another
        octets = Buffer.concat([before, random.octets(1), rest.subarray(1)]);
        break;
      case 1: // some are lost
        octets = Buffer.concat([before, rest.subarray(1 + random.below(8))]);
        break;
      case 2: // some come twice
        octets = Buffer.concat([before, rest.subarray(0, 1 + random.below(20)), rest]);
        break;
      case 3: // the rest never comes
        octets = before.length === 0 ? octets : Buffer.from(before);
        break;
      default: // something that matters is put in
        octets = Buffer.concat([before, Buffer.from(random.pick(TOKENS), "latin1"), rest]);
    }
  }
  return octets;
}
