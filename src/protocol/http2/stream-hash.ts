/**
 * For tables of streams. Spread: numbers that follow each other would stand side by side, and the end of the oldest
 * stream move up all the others.
 */
export const streamHash = (streamId: number): number => Math.imul(streamId, 0x9e3779b1) >>> 12;
