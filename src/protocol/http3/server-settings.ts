/** What all HTTP/3 sessions of a listener share. */
import type { TimerList } from "../../base/timer.ts";
import type { FieldSection } from "../../http/field-section.ts";
import type { ContentTimes } from "../content-clock.ts";
import type { HeadLimits } from "../http1/head-decoder.ts";
import type { FloodLimits } from "../http2/floods.ts";
import type { HoldBudget } from "./held-octets.ts";

export interface Http3ServerSettings extends ContentTimes {
  readonly head: HeadLimits;
  /** Trailer section, in octets. */
  readonly trailerOctets: number;
  /** Only `resets` counts: frames are the runtime's business. */
  readonly floods: FloodLimits;
  /** Request content that waits for its taker. */
  readonly held: HoldBudget;
  /** What the listener tells every client; written after the response's own fields. */
  readonly listenerFields: FieldSection | null;
  /** Time limits as lists; null = none. */
  readonly headTime: TimerList | null;
  readonly keepAliveTime: TimerList | null;
  readonly sendTime: TimerList | null;
}
