/** What all HTTP/1 connections of a listener share. */
import type { TimerList } from "../../base/timer.ts";
import type { FieldSection } from "../../http/field-section.ts";
import type { Scheme } from "../../http/message.ts";
import type { ContentTimes } from "../content-clock.ts";
import type { ContentLimits } from "./content-decoder.ts";
import type { HeadLimits } from "./head-decoder.ts";

export interface Http1ServerSettings extends ContentTimes {
  readonly scheme: Scheme;
  readonly head: HeadLimits;
  readonly content: ContentLimits;
  /** Time limits as lists; null = none. */
  readonly headTime: TimerList | null;
  readonly keepAliveTime: TimerList | null;
  readonly sendTime: TimerList | null;
  /** What the listener tells every client: an Alt-Svc. Shared: never changed. */
  readonly listenerFields?: FieldSection | null;
}
