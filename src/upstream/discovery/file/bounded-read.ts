/** Reads a file that may not be larger than it should be, and may be anything but a file. */
import { constants } from "node:fs";
import { open } from "node:fs/promises";

/**
 * @returns null if there is no such file
 * @throws {Error} if it is no file, cannot be read, or is larger
 */
export async function readBounded(path: string, maxOctets: number): Promise<string | null> {
  // A pipe without a writer would let `open` wait for ever.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return null;
    throw error;
  });
  if (handle === null) return null;
  try {
    const status = await handle.stat();
    if (!status.isFile()) throw new Error("it is not a file");
    if (status.size > maxOctets) throw tooLarge(status.size, maxOctets);
    // It may have grown since.
    const octets = Buffer.alloc(status.size + 1);
    let length = 0;
    while (length < octets.length) {
      const { bytesRead } = await handle.read(octets, length, octets.length - length, length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    if (length > status.size) throw new Error("it is being written");
    return octets.toString("utf8", 0, length);
  } finally {
    await handle.close();
  }
}

const tooLarge = (octets: number, most: number): Error =>
  new Error(`it has ${octets} octets; "maxSize" allows ${most}`);
