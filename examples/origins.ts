/**
 * Three small origin servers to put Lintel in front of: the same application under the names one,
 * two and three. Prints their addresses as one line of JSON once they listen.
 *
 * @example bun examples/origins.ts
 */
import type { Server, ServerWebSocket } from "bun";

const NAMES = ["one", "two", "three"] as const;

export interface Origins {
  readonly addresses: Readonly<Record<string, string>>;
  stop(): void;
}

export function startOrigins(): Origins {
  const servers = NAMES.map((name) => [name, startOrigin(name)] as const);
  return {
    addresses: Object.fromEntries(servers.map(([name, server]) => [name, `127.0.0.1:${server.port}`])),
    stop() {
      for (const [, server] of servers) void server.stop(true);
    },
  };
}

function startOrigin(name: string): Server<undefined> {
  return Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    routes: {
      "/": () => html(page(name)),
      "/echo": (request) => echo(name, request),
      "/slow": () => slow(name),
      "/events": () => events(name),
      "/chat": () => html(CHAT),
    },
    fetch(request, server) {
      if (new URL(request.url).pathname === "/socket" && server.upgrade(request)) return;
      return new Response(`${name} has nothing at ${new URL(request.url).pathname}\n`, { status: 404 });
    },
    websocket: {
      open: (socket: ServerWebSocket) => void socket.send(`this is ${name}; say something`),
      message: (socket: ServerWebSocket, message) => void socket.send(`${name} heard: ${message}`),
    },
  });
}

const html = (text: string) => new Response(text, { headers: { "content-type": "text/html; charset=utf-8" } });

const page = (name: string) => `<!doctype html>
<title>Origin server ${name}</title>
<h1>This is origin server ${name}</h1>
<p>Reload: the three take turns.</p>
<ul>
  <li><a href="/echo">what an origin server sees of your request</a></li>
  <li><a href="/events">server-sent events</a>, <a href="/slow">a slow answer</a></li>
  <li><a href="/chat">a WebSocket</a></li>
  <li><a href="/two/echo">origin server two by itself</a></li>
  <li><a href="/files/">static files</a></li>
  <li><a href="/old/page">a redirect</a></li>
</ul>
`;

/** What arrived, as JSON. */
async function echo(name: string, request: Request): Promise<Response> {
  const url = new URL(request.url);
  const content = await request.text();
  const seen = {
    origin: name,
    method: request.method,
    target: url.pathname + url.search,
    fields: Object.fromEntries(request.headers),
    content,
  };
  return new Response(`${JSON.stringify(seen, null, 2)}\n`, { headers: { "content-type": "application/json" } });
}

/** Five lines in a second. */
function slow(name: string): Response {
  return stream("text/plain; charset=utf-8", 200, 5, (i) => `${name} says ${i} of 5\n`);
}

/** An event every half second, for a while. */
function events(name: string): Response {
  return stream("text/event-stream", 500, 20, (i) => `data: ${name} ${i} ${new Date().toISOString()}\n\n`);
}

function stream(contentType: string, everyMs: number, count: number, piece: (i: number) => string): Response {
  let cancelled = false;
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      for (let i = 1; i <= count && !cancelled; i++) {
        controller.enqueue(Buffer.from(piece(i)));
        if (i < count) await Bun.sleep(everyMs);
      }
      if (!cancelled) controller.close();
    },
    cancel() {
      cancelled = true;
    },
  });
  return new Response(body, { headers: { "content-type": contentType, "cache-control": "no-store" } });
}

const CHAT = `<!doctype html>
<title>WebSocket through Lintel</title>
<h1>A WebSocket through Lintel</h1>
<form><input autofocus placeholder="say something"> <button>send</button></form>
<pre></pre>
<script>
  const socket = new WebSocket(location.href.replace(/^http/, "ws").replace(/chat$/, "socket"));
  const log = (text) => (document.querySelector("pre").textContent += text + "\\n");
  socket.onmessage = ({ data }) => log(data);
  socket.onclose = () => log("(closed)");
  document.querySelector("form").onsubmit = (event) => {
    event.preventDefault();
    socket.send(document.querySelector("input").value);
    document.querySelector("input").value = "";
  };
</script>
`;

if (import.meta.main) {
  const origins = startOrigins();
  console.log(JSON.stringify(origins.addresses));
  const end = () => {
    origins.stop();
    process.exit(0);
  };
  process.on("SIGTERM", end);
  process.on("SIGINT", end);
}
