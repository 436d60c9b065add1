/** Frames as they stand on the wire (RFC 9113 §4.1, §6). */

export const FRAME_HEADER_OCTETS = 9;
/** Payload of a frame that everybody takes (RFC 9113 §4.2). */
export const LEAST_MAX_FRAME_OCTETS = 16_384;
export const MOST_MAX_FRAME_OCTETS = 2 ** 24 - 1;
/** Flow control begins here (RFC 9113 §6.9.2). */
export const DEFAULT_WINDOW_OCTETS = 65_535;
export const MAX_WINDOW_OCTETS = 2 ** 31 - 1;
export const MAX_STREAM_ID = 2 ** 31 - 1;

export const CLIENT_PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

export const FrameType = {
  data: 0x0,
  headers: 0x1,
  priority: 0x2,
  resetStream: 0x3,
  settings: 0x4,
  pushPromise: 0x5,
  ping: 0x6,
  goAway: 0x7,
  windowUpdate: 0x8,
  continuation: 0x9,
  /** RFC 9218 §7.1 */
  priorityUpdate: 0x10,
} as const;

export const Flag = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;

export const Setting = {
  headerTableSize: 0x1,
  enablePush: 0x2,
  maxConcurrentStreams: 0x3,
  initialWindowSize: 0x4,
  maxFrameSize: 0x5,
  maxHeaderListSize: 0x6,
  /** RFC 8441 §3 */
  enableConnectProtocol: 0x8,
  /** RFC 9218 §2.1 */
  noRfc7540Priorities: 0x9,
} as const;
