/**
 * Where log lines go in the end: a file or standard output. Writes run on the runtime's thread
 * pool, one at a time, so a disk that hangs holds one thread and nothing else.
 */
import { close, constants, fstatSync, open, openSync, write } from "node:fs";

export type Written = (error: Error | null, octets: number) => void;

export interface Output {
  /**
   * Writes whole lines. Not called again before it is done.
   * @param done told how many octets were taken, fewer than given only with an error
   */
  write(lines: Buffer, done: Written): void;
  /** Opens the file under its name again, because it was moved away. On an error the old one stays. */
  reopen(done: (error: Error | null) => void): void;
  close(): void;
}

const { O_WRONLY, O_APPEND, O_CREAT, O_CLOEXEC = 0o2000000 } = constants as typeof constants & { O_CLOEXEC?: number };
const FLAGS = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC;
const MODE = 0o640;

/**
 * A file that several processes append to: each batch is one write at the end, so their lines
 * never mix.
 * @throws if it cannot be opened
 */
export function openFile(path: string): Output {
  let fd = openSync(path, FLAGS, MODE);
  let busy = false;
  /** Moved away while a write to them was under way. */
  const retired: number[] = [];
  return {
    write(lines, done) {
      busy = true;
      writeAll(fd, lines, 0, lines.length, (error, octets) => {
        busy = false;
        for (const old of retired.splice(0)) close(old);
        done(error, octets);
      });
    },
    reopen(done) {
      open(path, FLAGS, MODE, (error, next) => {
        if (error !== null) return done(error);
        if (busy) retired.push(fd);
        else close(fd);
        fd = next;
        done(null);
      });
    },
    close() {
      if (!busy) close(fd);
    },
  };
}

/** What several writers may put into a pipe without mixing (PIPE_BUF, pipe(7)). */
const PIPE_ATOMIC_OCTETS = 4096;

/** Standard output. Into a pipe or terminal it goes in pieces of whole lines that cannot mix with other workers'. */
export function openStdout(fd = 1): Output {
  const piece = fstatSync(fd).isFile() ? Infinity : PIPE_ATOMIC_OCTETS;
  return {
    write(lines, done) {
      let at = 0;
      const next: Written = (error, octets) => {
        at += octets;
        if (error !== null || at === lines.length) done(error, at);
        else writeAll(fd, lines, at, endOfPiece(lines, at, piece), next);
      };
      next(null, 0);
    },
    reopen: (done) => done(null),
    close: () => {},
  };
}

/** End of as many whole lines as fit; of one line, if not even that fits. */
function endOfPiece(lines: Buffer, start: number, most: number): number {
  if (lines.length - start <= most) return lines.length;
  const last = lines.lastIndexOf(0x0a, start + most - 1);
  return (last >= start ? last : lines.indexOf(0x0a, start + most)) + 1 || lines.length;
}

/** Milliseconds until a pipe that was full is tried again. */
const FULL_PIPE_MS = 20;

function writeAll(fd: number, octets: Buffer, start: number, end: number, done: Written): void {
  let at = start;
  const next = () => write(fd, octets, at, end - at, null, taken);
  const taken = (error: NodeJS.ErrnoException | null, count: number) => {
    if (error?.code === "EAGAIN") setTimeout(next, FULL_PIPE_MS);
    else if (error !== null) done(error, at - start);
    else if ((at += count) < end) next();
    else done(null, end - start);
  };
  next();
}
