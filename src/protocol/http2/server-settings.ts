/** What all HTTP/2 connections of a listener share. */
import type { TimerList } from "../../base/timer.ts";
import type { FieldSection } from "../../http/field-section.ts";
import type { Scheme } from "../../http/message.ts";
import type { ContentTimes } from "../content-clock.ts";
import type { HeadLimits } from "../http1/head-decoder.ts";
import type { FloodLimits } from "./floods.ts";
import { DEFAULT_WINDOW_OCTETS, LEAST_MAX_FRAME_OCTETS, Setting } from "./frame.ts";
import type { FrameLimits } from "./frame-decoder.ts";
import { firstStreamWindow } from "./receive-window.ts";

export interface Http2ServerSettings extends ContentTimes {
  readonly scheme: Scheme;
  readonly head: HeadLimits;
  /** Trailer section, in octets. */
  readonly trailerOctets: number;
  /** Streams that a client may have open. */
  readonly maxStreams: number;
  /** What a client may send of one request, and of all of them, before it is taken: windows begin smaller and grow up to this. */
  readonly streamWindowOctets: number;
  readonly connectionWindowOctets: number;
  readonly floods: FloodLimits;
  /** Time limits as lists; null = none. */
  readonly headTime: TimerList | null;
  readonly keepAliveTime: TimerList | null;
  readonly sendTime: TimerList | null;
  /** What the listener tells every client: an Alt-Svc. Shared: never changed. */
  readonly listenerFields?: FieldSection | null;
  /** Until the client says that it has our settings (RFC 9113 §6.5.3). */
  readonly settingsTime: TimerList | null;
  /** After so long a connection takes no new streams, and ends with its last one: one of these each; none: it may grow old. */
  readonly maxAgeTimes: readonly TimerList[];
}

/** A head may be cut into so many frames of the least size, however large its limit is. */
export function frameLimits({ head }: Http2ServerSettings): FrameLimits {
  // Huffman code can also be longer than the text, never by this much.
  const blockOctets = head.requestLineOctets + head.fieldSectionOctets * 2;
  return {
    frameOctets: LEAST_MAX_FRAME_OCTETS,
    blockOctets,
    continuations: Math.ceil(blockOctets / LEAST_MAX_FRAME_OCTETS) + 4,
  };
}

/** Ours, as they are sent (RFC 9113 §6.5.2): identifier, value, … */
export function ourSettings({ head, maxStreams, streamWindowOctets }: Http2ServerSettings): number[] {
  const pairs = [
    Setting.maxConcurrentStreams,
    maxStreams,
    Setting.maxHeaderListSize,
    head.fieldSectionOctets,
    Setting.enableConnectProtocol,
    1,
    Setting.noRfc7540Priorities,
    1,
  ];
  const window = firstStreamWindow(streamWindowOctets);
  if (window !== DEFAULT_WINDOW_OCTETS) pairs.push(Setting.initialWindowSize, window);
  return pairs;
}
