/** Whose message it is that an engine sends: hears what becomes of its content on the way out. */
import type { Failure } from "../base/failure.ts";
import type { FieldSection } from "../http/field-section.ts";

export interface OutgoingOwner {
  /** Octets of content were given to be sent. */
  onContentPassing(octets: number): void;
  /** Everything is written, and its end told. @param trailers null: there are none */
  onContentSent(trailers: FieldSection | null): void;
  /** The source cut it, or gave more or less than it had declared: the message must look incomplete. */
  onContentCut(why: Failure): void;
  /** The peer took nothing for the time that it has. */
  onSendStalled(): void;
}
