/**
 * Text whose characters are octets (latin1). Two fast methods of Buffer that the runtime has and its type
 * declarations lack: the encoding's name is not looked up at each call.
 */
declare global {
  interface Buffer {
    latin1Slice(start: number, end: number): string;
    latin1Write(text: string, offset: number, length?: number): number;
  }
}

/** A call into the runtime takes as long as copying some forty characters here; a text that was cut out of another is slower here. */
const BRIEF = 20;

/** Writes a text for which there is room. @returns the offset after it */
export function putText(octets: Buffer, offset: number, text: string): number {
  const { length } = text;
  if (length > BRIEF) octets.latin1Write(text, offset, length);
  else for (let i = 0; i < length; i++) octets[offset + i] = text.charCodeAt(i);
  return offset + length;
}
