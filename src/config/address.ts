/**
 * Addresses and CIDR blocks as people write them. Each function gives the tidy form, or says what
 * is wrong; nothing is resolved or bound here.
 */

/** The text in its tidy form, or why it cannot be used. */
export type Reading =
  | { readonly text: string }
  | { readonly problem: string; readonly hint?: string; readonly code?: string };

const NAME =
  /^(?=.{1,253}$)(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?$/;

/** Where an origin server listens: "host:port", "[v6]:port" or "unix:/path". */
export function readEndpointAddress(text: string): Reading {
  return readAddress(text, "an endpoint", false);
}

/** Where we listen: as an endpoint, or ":port" for every address; port 0 lets the system choose. */
export function readListenAddress(text: string): Reading {
  return readAddress(text, "a listener", true);
}

function readAddress(text: string, what: string, listens: boolean): Reading {
  const shown = JSON.stringify(text);
  if (text.startsWith("unix:")) return readUnix(text, shown);
  const scheme = /^([a-z][a-z0-9+.-]*):\/\/([^/]*)/i.exec(text);
  if (scheme !== null) {
    const authority = /:\d+$/.test(scheme[2]!) ? scheme[2]! : `${scheme[2]}:${scheme[1] === "https" ? 443 : 80}`;
    return { problem: `${shown} is not an address: it has a scheme`, hint: `write ${JSON.stringify(authority)}` };
  }
  if (/^\d+$/.test(text)) {
    return {
      problem: `${shown} is not an address`,
      hint: `write ${JSON.stringify(listens ? `:${text}` : `localhost:${text}`)}`,
    };
  }
  const parts = /^(?:\[([^\]]*)\]|([^:[\]]*)):([^:]*)$/.exec(text);
  if (parts === null) return readWithoutPort(text, shown, what, listens);
  const [, v6, name = "", port] = parts as unknown as [string, string | undefined, string | undefined, string];
  if (!/^\d{1,5}$/.test(port)) return { problem: `${shown} is not an address: ${JSON.stringify(port)} is not a port` };
  const number = Number(port);
  if (number > 65535 || (number === 0 && !listens)) {
    return { problem: `port ${port} of ${shown} is out of range: ports are ${listens ? 0 : 1} to 65535` };
  }
  if (v6 !== undefined) {
    if (!isIpv6(v6)) return { problem: `${shown} is not an address: ${JSON.stringify(v6)} is not an IPv6 address` };
    return { text: `[${v6.toLowerCase()}]:${number}` };
  }
  if (name === "" || name === "*") {
    if (listens) return { text: `:${number}` };
    return { problem: `${shown} has no host`, hint: `write ${JSON.stringify(`localhost:${number}`)}` };
  }
  if (looksLikeIpv4(name) ? !isIpv4(name) : !NAME.test(name)) {
    return { problem: `${shown} is not an address: ${JSON.stringify(name)} is neither a host name nor an IP address` };
  }
  return { text: `${name.toLowerCase()}:${number}` };
}

function readUnix(text: string, shown: string): Reading {
  const path = text.slice("unix:".length);
  if (!/^[/@.]/.test(path)) {
    return {
      problem: `${shown} is not an address: after "unix:" comes the path of a socket`,
      hint: 'write "unix:/run/app.sock"',
    };
  }
  // sockaddr_un holds 108 octets, the last one NUL.
  const octets = Buffer.byteLength(path);
  if (octets > 107) return { problem: `the path of ${shown} is ${octets} octets long; the system takes 107` };
  if (path.includes("\0")) return { problem: `${shown} has a NUL in its path` };
  return { text };
}

function readWithoutPort(text: string, shown: string, what: string, listens: boolean): Reading {
  const port = listens ? 8080 : 80;
  if (/^\[[^\]]*$/.test(text)) return { problem: `${shown} is not an address: its "[" is not closed` };
  if (isIpv6(text)) return { problem: `${shown} has no port`, hint: `write ${JSON.stringify(`[${text}]:${port}`)}` };
  if (isIpv6(text.replace(/^\[|\]$/g, "")))
    return { problem: `${shown} has no port`, hint: `write ${JSON.stringify(`${text}:${port}`)}` };
  if (text !== "" && NAME.test(text))
    return { problem: `${shown} has no port`, hint: `write ${JSON.stringify(`${text}:${port}`)}` };
  const forms = listens
    ? '":8080", "127.0.0.1:8080", "[::1]:8080" or "unix:/path"'
    : '"host:port", "[::1]:8080" or "unix:/path"';
  return { problem: `${shown} is not an address: ${what} is ${forms}` };
}

/** A block of addresses, "10.0.0.0/8"; a single address is a block of one. */
export function readCidr(text: string): Reading {
  const shown = JSON.stringify(text);
  const [address, prefix, ...more] = text.split("/") as [string, string | undefined, ...string[]];
  const v4 = isIpv4(address);
  if ((!v4 && !isIpv6(address)) || more.length > 0) {
    return {
      problem: `${shown} is not a block of addresses: write one such as "10.0.0.0/8", "192.0.2.7" or "fd00::/8"`,
    };
  }
  const bits = v4 ? 32 : 128;
  if (prefix === undefined) return { text: `${address.toLowerCase()}/${bits}` };
  if (!/^\d{1,3}$/.test(prefix) || Number(prefix) > bits) {
    return {
      problem: `${JSON.stringify(prefix)} is not a prefix length: ${v4 ? "IPv4" : "IPv6"} blocks have 0 to ${bits}`,
    };
  }
  return { text: `${address.toLowerCase()}/${Number(prefix)}` };
}

const looksLikeIpv4 = (text: string) => /^[\d.]+$/.test(text);

function isIpv4(text: string): boolean {
  return (
    /^(?:0|[1-9]\d{0,2})(?:\.(?:0|[1-9]\d{0,2})){3}$/.test(text) && text.split(".").every((part) => Number(part) <= 255)
  );
}

function isIpv6(text: string): boolean {
  const dotted = text.lastIndexOf(":") + 1;
  const tail = text.slice(dotted);
  // An IPv4 tail stands for two groups.
  if (tail.includes(".")) return isIpv4(tail) && isIpv6(`${text.slice(0, dotted)}0:0`);
  const halves = text.split("::");
  if (!text.includes(":") || halves.length > 2) return false;
  const groups = halves.flatMap((half) => (half === "" ? [] : half.split(":")));
  if (!groups.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return false;
  return halves.length === 1 ? groups.length === 8 : groups.length <= 7;
}
