/** For tables of streams: those of one side are all odd or all even (RFC 9113 §5.1.1). */
export const streamHash = (streamId: number): number => streamId >>> 1;
