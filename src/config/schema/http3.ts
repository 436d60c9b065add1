/** HTTP/3: of a listener, and its limits. */
import { z } from "zod";
import { byteSize } from "../../base/option.ts";
import type { ListenerHttp3Config } from "../gateway-config.ts";
import { span, wholeNumber } from "./text.ts";

const fields = z
  .strictObject({
    maxAge: span("How long clients remember that HTTP/3 is spoken here (`ma` of Alt-Svc).", "1d", 1000),
    advertise: z.boolean().default(true).meta({
      description: "Tell clients that come over TCP (Alt-Svc). Without it only those find it who look for it.",
    }),
    earlyData: z.boolean().default(false).meta({
      description:
        "Accept GET, HEAD, OPTIONS and TRACE of returning clients before their handshake is over. They may be replayed: origin servers see `Early-Data: 1` and must know it.",
    }),
  })
  .meta({ title: "HTTP/3", description: "HTTP/3 on the listener's port, over UDP." });

/** Of a listener. */
export const listenerHttp3 = z
  .union([z.boolean(), fields])
  .meta({ description: "HTTP/3 beside what is spoken over TCP: `true`, or how. Needs `tls`." })
  .transform((value): ListenerHttp3Config | null => {
    if (value === false) return null;
    return value === true ? fields.parse({}) : value;
  });

export const http3Limits = z
  .strictObject({
    streams: wholeNumber(1, 10_000, "Requests at one time in one session.").prefault(100),
    streamWindow: byteSize("Content a client may send of one request before it has heard that it came.", "256KiB").pipe(
      z
        .number()
        .min(16_384)
        .max(2 ** 31 - 1),
    ),
    sessionWindow: byteSize("Content a client may send in one session before it has heard that it came.", "1MiB").pipe(
      z
        .number()
        .min(16_384)
        .max(2 ** 31 - 1),
    ),
    sessionsPerAddress: wholeNumber(1, 65_535, "Sessions at one time of one client address.").prefault(1000),
    held: byteSize(
      "Request content that came faster than origin servers take it, in files of the folder for temporary ones, over all requests; what has no room there is refused with 503.",
      "1GiB",
    ),
    names: wholeNumber(
      1,
      10_000,
      "Names of certificates that are served over HTTP/3, at 0.9 MB each; others over TCP only.",
    ).prefault(200),
  })
  .prefault({})
  .meta({ title: "HTTP/3 limits", description: "What HTTP/3 may ask for. They hold until the program starts again." });
