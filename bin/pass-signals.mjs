/** Hands the signals of a launcher on to the program that it runs. Plain Node. */
import { readFileSync } from "node:fs";
import { constants } from "node:os";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"];
const STOPS = ["SIGINT", "SIGTERM"];
const LOOK_MS = 20;
/** A program that listens so late may be ended by what it does not hear. */
const PATIENCE_MS = 5000;

/**
 * Listens from here on. A Ctrl-C reaches the child by itself too, as one of the terminal's process group: the supervisor
 * takes two signals that close together for one.
 *
 * @param waits the child is going to listen: until then signals wait, since they would end it
 * @returns to be told the child. It must be told before anything is awaited
 */
export function passSignals(waits) {
  let child;
  const listened = new Set();
  const isHeard = (signal) => {
    const listens = isIn("SigCgt", signal, child.pid);
    if (listens) listened.add(signal);
    // A program that listened once keeps them waiting while another takes its place; before that, its runtime holds
    // signals off for moments in which nobody listens yet.
    return listens || (listened.has(signal) && isIn("SigBlk", signal, child.pid));
  };
  const pass = (signal, since) => {
    const late = STOPS.includes(signal) && Date.now() - since > PATIENCE_MS;
    if (!waits || late || isHeard(signal)) child.kill(signal);
    else setTimeout(pass, LOOK_MS, signal, since);
  };
  for (const signal of SIGNALS) process.on(signal, () => pass(signal, Date.now()));
  return (started) => {
    child = started;
  };
}

/** Whether the process has the signal in a set: SigCgt, with a handler; SigBlk, held off. True as well where the system does not tell. */
function isIn(set, signal, pid) {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    const bits = BigInt(`0x${new RegExp(`^${set}:\\s*(\\w+)`, "m").exec(status)[1]}`);
    return ((bits >> BigInt(constants.signals[signal] - 1)) & 1n) === 1n;
  } catch {
    return true;
  }
}
