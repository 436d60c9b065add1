/** A config file's text and places in it, for messages that show the line. */
import { formatPath, type Path } from "./path.ts";

export class Source {
  #lineStarts: number[] | null = null;

  /**
   * @param file  name as shown in messages
   * @param text  null if the config did not come from text (a TypeScript config, a flag)
   */
  constructor(
    readonly file: string,
    readonly text: string | null,
  ) {}

  /** Line and column, both from 1, of an offset into the text. */
  place(offset: number): { line: number; column: number } {
    const starts = this.#starts();
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle]! <= offset) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: offset - starts[low]! + 1 };
  }

  /** The text of a line (from 1) without its line end. */
  line(number: number): string {
    const starts = this.#starts();
    const start = starts[number - 1] ?? 0;
    return (this.text ?? "").slice(start, starts[number]).replace(/[\r\n]+$/, "");
  }

  /** Offset of a line and column, both from 1. */
  offset(line: number, column: number): number {
    return (this.#starts()[line - 1] ?? 0) + column - 1;
  }

  #starts(): number[] {
    if (this.#lineStarts !== null) return this.#lineStarts;
    const starts = [0];
    const text = this.text ?? "";
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
    this.#lineStarts = starts;
    return starts;
  }
}

/** A piece of a text. */
export interface Stretch {
  readonly source: Source;
  /** Offset into the text; 0 without text. */
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
  /** False: what stands there computes more than what is meant, and only the path says which part. */
  readonly exact: boolean;
}

/** A stretch of a source; where there is no text, `path` alone says where. */
export class Span implements Stretch {
  readonly #steps: Path;

  /**
   * @param start  offset into the text; 0 without text
   * @param end    exclusive
   * @param steps  path within its own file
   */
  constructor(
    readonly source: Source,
    readonly start: number,
    readonly end: number,
    steps: Path,
  ) {
    this.#steps = steps;
  }

  /** Such as "sites[0].routes[1].to". Put together when asked for: there are 200,000 spans for each that is. */
  get path(): string {
    return formatPath(this.#steps);
  }

  get exact(): boolean {
    return true;
  }

  /** Where it stands. Some have to look for that, and do so when they are asked. */
  placed(): Stretch {
    return this;
  }

  /** Another stretch of the same place in the tree. */
  at(start: number, end: number): Span {
    return new Span(this.source, start, end, this.#steps);
  }

  /** The same stretch for another place in the tree. */
  for(steps: Path): Span {
    return new Span(this.source, this.start, this.end, steps);
  }
}
