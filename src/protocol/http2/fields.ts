/** Which fields do not pass from one side to the other. */
import { fieldSet } from "../../http/field-name.ts";

/** What the encoder writes itself, or what says something about a connection (RFC 9113 §8.2.2, RFC 9110 §7.6.1). */
export const NOT_RELAYED = fieldSet(
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "content-length",
  "upgrade",
  "te",
  "host",
  "http2-settings",
);
