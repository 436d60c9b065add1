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
  const pass = (signal, since) => {
    const late = STOPS.includes(signal) && Date.now() - since > PATIENCE_MS;
    if (!waits || late || isHeard(signal, child.pid)) child.kill(signal);
    else setTimeout(pass, LOOK_MS, signal, since);
  };
  for (const signal of SIGNALS) process.on(signal, () => pass(signal, Date.now()));
  return (started) => {
    child = started;
  };
}

/** It has a handler, or keeps them waiting. True as well where the system does not tell. */
function isHeard(signal, pid) {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    const bit = 1n << BigInt(constants.signals[signal] - 1);
    return ["SigCgt", "SigBlk"].some((set) => (BigInt(`0x${setOf(status, set)}`) & bit) !== 0n);
  } catch {
    return true;
  }
}

const setOf = (status, name) => new RegExp(`^${name}:\\s*(\\w+)`, "m").exec(status)[1];
