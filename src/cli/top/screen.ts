/** The whole terminal for a while: raw keys, another screen, and all of it as before at the end, whatever ends it. */
const ENTER = "\x1b[?1049h\x1b[?25l";
const LEAVE = "\x1b[?25h\x1b[?1049l";
const CTRL_C = "\x03";
const ENDINGS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;
const EXIT_OF: Readonly<Record<(typeof ENDINGS)[number], number>> = {
  SIGINT: 130,
  SIGTERM: 143,
  SIGHUP: 129,
  SIGQUIT: 131,
};

export interface ScreenEvents {
  /** A key, but for Ctrl-C. */
  onKey(key: string): void;
  /** The size has changed. */
  onResize(): void;
  /** Ctrl-C. */
  onEnd(): void;
}

export class Screen {
  readonly #events: ScreenEvents;
  #open = false;

  /** Needs standard input and output to be a terminal. */
  constructor(events: ScreenEvents) {
    this.#events = events;
  }

  get width(): number {
    return process.stdout.columns || 80;
  }

  get height(): number {
    return process.stdout.rows || 24;
  }

  open(): void {
    this.#open = true;
    process.stdout.write(ENTER);
    process.stdin.setRawMode(true);
    process.stdin.setEncoding("utf8");
    process.stdin.on("data", this.#read);
    process.stdin.on("end", this.#events.onEnd);
    process.stdout.on("resize", this.#events.onResize);
    process.on("exit", this.close);
    for (const signal of ENDINGS) process.on(signal, this.#ended);
  }

  draw(lines: readonly string[]): void {
    // Each line clears what was behind it: clearing the whole screen first would flicker.
    process.stdout.write(`\x1b[H${lines.map((line) => `${line}\x1b[K`).join("\r\n")}\x1b[J`);
  }

  /** May be called more than once. */
  readonly close = (): void => {
    if (!this.#open) return;
    this.#open = false;
    process.stdin.off("data", this.#read);
    process.stdin.off("end", this.#events.onEnd);
    process.stdout.off("resize", this.#events.onResize);
    process.off("exit", this.close);
    for (const signal of ENDINGS) process.off(signal, this.#ended);
    process.stdin.setRawMode(false);
    process.stdin.pause();
    process.stdout.write(LEAVE);
  };

  readonly #ended = (signal: NodeJS.Signals): void => {
    this.close();
    process.exit(EXIT_OF[signal as (typeof ENDINGS)[number]]);
  };

  readonly #read = (keys: string): void => {
    for (const key of keys) {
      if (key === CTRL_C) this.#events.onEnd();
      else this.#events.onKey(key);
    }
  };
}
