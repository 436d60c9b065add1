/**
 * What is started: `lintel COMMAND [FLAGS]`. A program that is to serve listens to signals before any other file of it is
 * read. While the runtime waits for those files it lets signals through, also those that were held for it when
 * it took over from another program, and one that nobody listens to would end it: an upgrade in which somebody asks for
 * a reload, for example. So nothing of ours may be imported at the top of this file.
 */
import { isatty } from "node:tty";
import type { EarlySignals } from "../server/signals.ts";

function listen(): EarlySignals {
  const heard: NodeJS.Signals[] = [];
  const hear = (signal: NodeJS.Signals) => heard.push(signal);
  const names = ["SIGHUP", "SIGINT", "SIGUSR1", "SIGUSR2", "SIGTERM", "SIGALRM"] as const;
  for (const name of names) process.on(name, hear);
  const end = () => {
    for (const name of names) process.off(name, hear);
  };
  return { heard, terminals: [0, 1, 2].filter(isatty), end };
}

const early = process.argv[2] === "run" ? listen() : null;
const { main } = await import("./program.ts");
const { processTerminal } = await import("./terminal.ts");
process.exit(await main(process.argv.slice(2), processTerminal(), early));
