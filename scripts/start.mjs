/**
 * `npm start`: installs what is missing, starts the sample origin servers and Lintel in front of
 * them, says what to try, and serves until Ctrl-C. Plain Node, since Bun may not be there yet.
 *
 * LISTEN and ADMIN choose other addresses than 127.0.0.1:8080 and 127.0.0.1:2020.
 */
import { spawn } from "node:child_process";
import { get } from "node:http";
import { installDependencies, root } from "./install.mjs";

const bun = installDependencies();
const children = [];
let ending = false;
let exitCode = 0;
process.on("SIGINT", () => end(0));
process.on("SIGTERM", () => end(0));

const origins = start("origin servers", bun, ["examples/origins.ts"], ["ignore", "pipe", "inherit"]);
const addresses = JSON.parse(await listenTo(origins.stdout)(/^(\{.*\})$/m));
const env = { ...process.env, ONE: addresses.one, TWO: addresses.two, THREE: addresses.three };
const lintel = start(
  "Lintel",
  process.execPath,
  ["bin/lintel.mjs", "run", "--config", "examples/start.yaml"],
  ["ignore", "inherit", "pipe"],
  env,
);
lintel.stderr.pipe(process.stderr);
const said = listenTo(lintel.stderr);
const url = await said(/listening on (http:\/\/[^\s/]+)/);
const admin = await said(/admin on (http:\/\/[^\s/]+)/);
await answers(`${url}/hello`);
tell();

function start(name, command, args, stdio, env = process.env) {
  // A group of its own: Ctrl-C comes to us alone, and we end the children in order.
  const child = spawn(command, args, { cwd: root, stdio, env, detached: true });
  children.push(child);
  child.on("error", (why) => {
    console.error(`${name} could not be started: ${why.message}`);
    end(1);
  });
  child.on("exit", (code, signal) => {
    children.splice(children.indexOf(child), 1);
    if (!ending) {
      console.error(`${name} ended with ${code ?? signal}.`);
      end(1);
    } else if (children.length === 0) process.exit(exitCode);
  });
  return child;
}

/** A function that waits for a pattern in what the stream has said so far, and gives its first group. */
function listenTo(stream) {
  let text = "";
  let look = () => {};
  stream.on("data", (chunk) => {
    text += chunk;
    look();
  });
  return (pattern) =>
    new Promise((resolve) => {
      look = () => {
        const match = pattern.exec(text);
        if (match !== null) resolve(match[1]);
      };
      look();
    });
}

/** Resolves once the URL answers 200. */
function answers(target) {
  return new Promise((resolve) => {
    const again = () => setTimeout(ask, 100);
    function ask() {
      get(target, (response) => {
        response.resume();
        if (response.statusCode === 200) resolve();
        else again();
      }).on("error", again);
    }
    ask();
  });
}

function tell() {
  const port = new URL(url).port;
  console.log(`
Lintel serves ${url}, in front of three origin servers. Try, in another terminal:

  curl ${url}/hello
  curl -i ${url}/echo                                       # the origin servers take turns
  curl ${url}/two/echo                                      # one of them by its path …
  curl -H 'Host: two.localhost' ${url}/echo                 # … or by its host name
  curl -d 'some content' '${url}/echo?with=a&query'
  curl -N ${url}/slow                                       # content comes as it is made
  curl -r 0-4 ${url}/files/letters.txt                      # a part of a static file
  curl -iL ${url}/old/page                                  # a redirect, followed
  curl ${admin}/metrics

With a browser: ${url}/ (links to all of it, and to a WebSocket at ${url}/chat).
The config is examples/start.yaml. What would take a request, and why:

  npx lintel explain --config examples/start.yaml http://two.localhost:${port}/echo

Ctrl-C ends it all.
`);
}

/** Ends the children, Lintel first so that it can finish what is in flight; then this process. */
function end(code) {
  if (ending) {
    for (const child of children) signalGroup(child, "SIGKILL");
    process.exit(code);
  }
  ending = true;
  exitCode = code;
  if (children.length === 0) process.exit(code);
  for (const child of [...children].reverse()) signalGroup(child, "SIGTERM");
}

function signalGroup(child, signal) {
  try {
    process.kill(signal === "SIGKILL" ? -child.pid : child.pid, signal);
  } catch {
    // Gone already.
  }
}
