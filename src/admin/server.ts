/** The admin listener: what the supervisor knows and can do, for people, programs and Prometheus. */
import type { AdminConfig } from "../config/gateway-config.ts";
import { type Address, formatAddress, isIp, parseAddress } from "../net/address.ts";
import { type Control, ControlError } from "../server/control.ts";
import type { Admin } from "../server/supervisor.ts";
import { claimAddress } from "../server/supervisor-listen.ts";
import { DirectoryError } from "../server/upstream-directory.ts";
import { Guard } from "./guard.ts";
import { operations } from "./operations/operations.ts";
import { answerPage } from "./pages.ts";
import { Problem } from "./problem.ts";
import { readRequest } from "./request.ts";
import { findOperation } from "./router.ts";

/** A backstop: what operations take is far less (request.ts). */
const MAX_CONTENT_OCTETS = 1024 * 1024;
/** A request must be there in this time; its answer may take longer. */
const REQUEST_SECONDS = 30;

/** @throws {Error} if the address cannot be listened on */
export function startAdmin({ address, token }: AdminConfig, control: Control): Admin {
  const parsed = parseAddress(address.replace(/^localhost:/, "127.0.0.1:"));
  if (parsed === null) throw new Error(`admin: ${address} is not an address`);
  const guard = new Guard(parsed.kind === "tcp" ? parsed.host : null, token);
  // The runtime's own server shares a port that is taken already without a word.
  if (parsed.kind === "unix" || parsed.host === "" || isIp(parsed.host)) claimAddress("admin", parsed);
  try {
    const server = serve(parsed, guard, control);
    return { url: urlOf(parsed, server.port), stop: () => void server.stop(true) };
  } catch (error) {
    throw new Error(`admin cannot listen on ${address}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function serve(address: Address, guard: Guard, control: Control): Bun.Server<undefined> {
  const shared = {
    development: false,
    maxRequestBodySize: MAX_CONTENT_OCTETS,
    fetch: (request: Request, server: Bun.Server<undefined>) =>
      answer(request, guard, control, () => server.timeout(request, 0)),
  } as const;
  if (address.kind === "tcp") {
    const { host, port } = address;
    return Bun.serve({ ...shared, hostname: host || "::", port, idleTimeout: REQUEST_SECONDS });
  }
  // A unix socket is for its user alone from the first moment on.
  const umask = process.umask(0o177);
  try {
    return Bun.serve({ ...shared, unix: address.path });
  } finally {
    process.umask(umask);
  }
}

/** @param takeTime the request is there: the answer may take as long as it does */
async function answer(request: Request, guard: Guard, control: Control, takeTime: () => void): Promise<Response> {
  try {
    guard.checkHost(request);
    const { pathname } = new URL(request.url);
    if (pathname !== "/v1" && !pathname.startsWith("/v1/")) return answerPage(request.method, pathname, control);
    return await answerOperation(request, pathname, guard, control, takeTime);
  } catch (thrown) {
    return problemOf(thrown).toResponse();
  }
}

async function answerOperation(
  request: Request,
  pathname: string,
  guard: Guard,
  control: Control,
  takeTime: () => void,
): Promise<Response> {
  const isMutation = request.method !== "GET" && request.method !== "HEAD";
  // Who may not do anything here learns nothing of what there is.
  guard.checkAccess(request, isMutation ? "change" : "read");
  const { operation, params } = findOperation(operations, request.method, pathname);
  guard.checkAccess(request, operation.access);
  const read = await readRequest(request, operation, params);
  takeTime();
  return Response.json(await operation.run({ control, ...read }), {
    status: operation.status,
    headers: { "cache-control": "no-store" },
  });
}

function problemOf(thrown: unknown): Problem {
  if (thrown instanceof Problem) return thrown;
  if (thrown instanceof DirectoryError) return new Problem(thrown.kind, thrown.message);
  if (thrown instanceof ControlError) return new Problem(thrown.kind, thrown.message, { hint: thrown.hint });
  return new Problem("internal", thrown instanceof Error ? thrown.message : String(thrown));
}

function urlOf(address: Address, port: number | undefined): string {
  return address.kind === "unix" ? formatAddress(address) : `http://${formatAddress({ ...address, port: port ?? 0 })}/`;
}
