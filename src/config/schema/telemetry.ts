/** `telemetry`: the access log and the program's own log. */
import { z } from "zod";
import { byteSize, duration } from "../../base/option.ts";
import type { Reading } from "../address.ts";
import type { VariableRules } from "../catalog.ts";
import { textOption } from "./text.ts";

/** Each can be copied: a test reads them. */
const FORMAT_EXAMPLES = ["json", "combined", "{client.address} {request.method} {request.path} {response.status}"];

function readFormat(text: string, variables: VariableRules): Reading {
  if (text === "json" || text === "combined") return { text };
  if (!/[{}]/.test(text))
    return {
      problem: `${JSON.stringify(text)} is not a format: write "json", "combined", or a template with {variables}`,
    };
  const problem = variables.judgeTemplate(text);
  return problem === null ? { text } : { problem, code: "bad-template" };
}

const accessLogOf = (variables: VariableRules) =>
  z
    .strictObject({
      format: textOption("bad-format", (text) => readFormat(text, variables), {
        description: "`json`, `combined`, or a template with {variables}.",
        examples: FORMAT_EXAMPLES,
      }).prefault("json"),
      output: textOption(
        "bad-output",
        (text) =>
          text === "stdout" || text.includes("/")
            ? { text }
            : {
                problem: `${JSON.stringify(text)} is not an output: write "stdout" or the path of a file such as "/var/log/lintel.log"`,
              },
        {
          description: "`stdout` or the path of a file, which is opened again on SIGUSR1.",
          examples: ["stdout", "/var/log/lintel/access.log"],
        },
      ).prefault("stdout"),
      buffer: byteSize("Octets gathered before they are written.", "64KiB"),
      flush: duration("How long a line waits at most.", "1s"),
      maxPending: byteSize("Octets waiting for a slow disk before lines are dropped and counted.", "4MiB"),
    })
    .meta({ title: "Access log", description: "One line per exchange." });

export function telemetry(variables: VariableRules) {
  const accessLog = accessLogOf(variables);
  return z
    .strictObject({
      accessLog: z
        .union([z.enum(["off", "json", "combined"]), accessLog])
        .default("off")
        .transform((value) =>
          value === "off" ? null : typeof value === "string" ? accessLog.parse({ format: value }) : value,
        )
        .meta({ description: "One line per exchange: `off`, a format, or everything about it." }),
      log: z
        .strictObject({
          level: z
            .enum(["debug", "info", "warn", "error"])
            .default("info")
            .meta({ description: "The least that is logged." }),
          format: z
            .enum(["text", "json"])
            .default("text")
            .meta({ description: "`text` for people, `json` for machines." }),
        })
        .prefault({})
        .meta({ title: "Log", description: "The program's own log, on standard error." }),
    })
    .prefault({})
    .meta({ title: "Telemetry", description: "What is written down." });
}
