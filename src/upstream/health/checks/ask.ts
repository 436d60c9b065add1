/** What all checks share: one deadline over everything, sockets that are always let go, and words for failures. */
import { parseAddress } from "../../../net/address.ts";
import { spanText } from "../span-text.ts";

/** A question that is being asked. */
export interface Asking {
  /** Lets go of the socket; called once, also after an answer. */
  release(): void;
  /** Why it is not done, when time is up. @param span such as "2 s" */
  late(span: string): string;
}

/**
 * Asks and waits, for so long at most.
 * @param begin starts and says how it ends by `settle`: null if the check passed, else why not
 */
export function ask(
  timeoutMs: number,
  begin: (settle: (reason: string | null) => void) => Asking,
): Promise<string | null> {
  return new Promise((resolve) => {
    let asking: Asking | null = null;
    let settled = false;
    const settle = (reason: string | null): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      asking?.release();
      resolve(reason);
    };
    // One timer for connecting, the answer and its content: an answer that drips does not prolong it.
    const timer = setTimeout(() => settle(asking!.late(spanText(timeoutMs))), timeoutMs);
    try {
      asking = begin(settle);
      if (settled) asking.release();
    } catch (thrown) {
      settle(messageOf(thrown));
    }
  });
}

/** Where to connect, in the runtime's terms. @throws {TypeError} if the text is not an address */
export function destination(address: string): { host: string; port: number } | { path: string } {
  const parsed = parseAddress(address);
  if (parsed === null) throw new TypeError(`${address} is not an address`);
  if (parsed.kind === "unix") return { path: parsed.path.startsWith("@") ? `\0${parsed.path.slice(1)}` : parsed.path };
  return { host: parsed.host, port: parsed.port };
}

/** How far a connection has come: what an error means depends on it. */
export type Stage = "connecting" | "handshake" | "waiting";

/** Why a socket failed, for a log line. */
export function socketReason(error: Error, stage: Stage): string {
  const { code = error.message, syscall } = error as NodeJS.ErrnoException;
  if (syscall?.startsWith("getaddrinfo") || code === "ENOTFOUND") return `the name has no address: ${code}`;
  if (code.startsWith("HPE_")) return `the answer is not HTTP: ${code}`;
  if (stage === "connecting") return `connect failed: ${code}`;
  if (stage === "handshake") return `TLS failed: ${tlsReason(error, code)}`;
  return `no answer: the connection ended with ${code}`;
}

/** The last words of OpenSSL's line say it; the names of the certificate help where it is for another. */
function tlsReason(error: Error, code: string): string {
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return error.message;
  return code === "ECONNRESET" ? "the connection ended (ECONNRESET)" : code;
}

export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
