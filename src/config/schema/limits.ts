/** `limits` and `timeouts` of the gateway. */
import { z } from "zod";
import { byteSize, duration } from "../../base/option.ts";
import { http3Limits } from "./http3.ts";
import { wholeNumber } from "./text.ts";

/** RFC 9113 §6.9.1: 2^31-1 octets at most. Less than the default of 65,535 would only slow uploads down. */
const window = z
  .number()
  .min(65_535)
  .max(2 ** 31 - 1);

export const limits = z
  .strictObject({
    requestLine: byteSize("Longest request line; a longer one is answered 414.", "8KiB"),
    fieldLine: byteSize("Longest single field line; a longer one is answered 431.", "8KiB"),
    fieldSection: byteSize("All field lines of a request together; more is answered 431.", "32KiB"),
    fields: wholeNumber(1, 10_000, "Number of field lines; more are answered 431.").prefault(100),
    trailers: byteSize("Trailer section of a message.", "8KiB"),
    chunkExtensions: byteSize("Extensions of one chunk.", "1KiB"),
    content: byteSize("Request content; more is answered 413. `off` for no limit.", "100MB"),
    http2: z
      .strictObject({
        streams: wholeNumber(1, 10_000, "Requests at one time on one connection.").prefault(128),
        streamWindow: byteSize(
          "Content a peer may send of one message before it is taken: 256 KiB at first, and up to this if that holds it up.",
          "4MiB",
        ).pipe(window),
        connectionWindow: byteSize(
          "Content a peer may send on one connection before it is taken: 512 KiB at first, and up to this.",
          "16MiB",
        ).pipe(window),
        windowGrowth: byteSize(
          "By how much the windows of all connections of a worker together may be larger than at first.",
          "64MiB",
        ),
        resets: wholeNumber(
          1,
          1_000_000,
          "Streams that a client may cancel, or have refused, in a row; a response that goes to its end makes up for one.",
        ).prefault(200),
        resetsPerSecond: wholeNumber(0, 1_000_000, "Cancelled streams forgotten per second.").prefault(30),
        frames: wholeNumber(1, 1_000_000, "Frames that carry nothing (PING, SETTINGS, empty ones) in a row.").prefault(
          1000,
        ),
        framesPerSecond: wholeNumber(0, 1_000_000, "Empty frames forgotten per second.").prefault(100),
      })
      .prefault({})
      .meta({ title: "HTTP/2 limits", description: "What one connection of HTTP/2 may ask for." }),
    http3: http3Limits,
    queued: byteSize("What a worker may have queued for slow peers before it reads in small pieces only.", "16MiB"),
  })
  .prefault({})
  .meta({ title: "Limits", description: "How much of a message is accepted." });

export const timeouts = z
  .strictObject({
    head: duration("From the first octet of a request to the end of its head.", "30s"),
    contentIdle: duration("Without an octet of request content.", "30s"),
    contentRate: byteSize(
      "Least octets of request content per second, after 5 s of grace; `off` for none.",
      "500B",
    ).transform((octets) => (octets === Number.POSITIVE_INFINITY ? 0 : octets)),
    keepAlive: duration("An idle connection waits for its next request.", "75s"),
    send: duration("The client takes no octet of the response.", "60s"),
    connect: duration("To connect to an endpoint.", "5s"),
    firstOctet: duration("From the request sent to the first octet of the response.", "60s"),
    upstreamIdle: duration("Without an octet of the response's content.", "60s"),
    exchange: duration("The whole exchange.", "off"),
    connectionAge: duration(
      "After so long, give or take a tenth, a connection of HTTP/2 takes no new requests and ends with its last one.",
      "off",
    ),
    tunnelIdle: duration("A tunnel (WebSocket, CONNECT) without an octet in either direction.", "1h"),
    continue: duration("Before we send 100 (Continue) ourselves, if the origin server does not.", "1s"),
    drain: duration("What is in flight may finish when a worker stops.", "30s"),
  })
  .prefault({})
  .meta({ title: "Timeouts", description: "How long each part may take; `off` for no limit." });
