/**
 * Two fast methods of Buffer that the runtime has and its type declarations lack: text whose
 * characters are octets, without the encoding's name being looked up at each call.
 */
declare global {
  interface Buffer {
    latin1Slice(start: number, end: number): string;
    latin1Write(text: string, offset: number, length?: number): number;
  }
}

export {};
