/** What all client connections of an upstream share, and what they tell its origin servers (RFC 9113 §6.5.2). */
import type { TimerList } from "../../base/timer.ts";
import type { Scheme } from "../../http/message.ts";
import type { HeadLimits } from "../http1/head-decoder.ts";
import type { FrameFloodLimits } from "./floods.ts";
import { DEFAULT_WINDOW_OCTETS, LEAST_MAX_FRAME_OCTETS, Setting } from "./frame.ts";
import type { FrameLimits } from "./frame-decoder.ts";
import { firstStreamWindow } from "./receive-window.ts";

export interface Http2ClientSettings {
  /** For `:scheme`: that of the connection, which some origin servers insist on; absent: the request's. */
  readonly scheme?: Scheme;
  readonly head: HeadLimits;
  /** Streams that we open at once, even if the origin server would take more. */
  readonly maxStreams: number;
  /** What an origin server may send of one response, and of all of them, before it is taken: windows begin smaller and grow up to this. */
  readonly streamWindowOctets: number;
  readonly connectionWindowOctets: number;
  /** Frames that carry nothing. */
  readonly floods: FrameFloodLimits;
  /** After so long without an octet, while streams are open, PING asks whether the origin server is still there; null: never. */
  readonly pingTime: TimerList | null;
  /** The time it has for any sign of life after that. */
  readonly pingAnswerTime: TimerList | null;
}

/** A head may be cut into so many frames of the least size, however large its limit is. */
export function clientFrameLimits({ head }: Http2ClientSettings): FrameLimits {
  // Huffman code can also be longer than the text, never by this much.
  const blockOctets = head.fieldSectionOctets * 2;
  return {
    frameOctets: LEAST_MAX_FRAME_OCTETS,
    blockOctets,
    continuations: Math.ceil(blockOctets / LEAST_MAX_FRAME_OCTETS) + 4,
  };
}

/** Ours, as they are sent: identifier, value, … */
export function clientSettings({ head, streamWindowOctets }: Http2ClientSettings): number[] {
  const pairs = [
    Setting.enablePush,
    0,
    Setting.maxHeaderListSize,
    head.fieldSectionOctets,
    Setting.noRfc7540Priorities,
    1,
  ];
  const window = firstStreamWindow(streamWindowOctets);
  if (window !== DEFAULT_WINDOW_OCTETS) pairs.push(Setting.initialWindowSize, window);
  return pairs;
}
