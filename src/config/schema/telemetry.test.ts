import { expect, test } from "bun:test";
import { z } from "zod";
import { variables } from "../../http/variable-rules.ts";
import { telemetry } from "./telemetry.ts";

const schema = telemetry(variables);
const formatOf = (format: string) => schema.parse({ accessLog: { format } }).accessLog?.format;

test.each(["json", "combined", "{request.method} {{{request.path}}}", "time={time.iso}"])(
  "%j is a format",
  (format) => {
    expect(formatOf(format)).toBe(format);
  },
);

test.each([
  ["jsn", 'is not a format: write \\"json\\"'],
  ["{method} {path}", "there is no variable {method}: did you mean {request.method}?"],
  ["{request.field.user agent}", "is not a field name"],
  ["{request.method", 'has a single \\"{\\"'],
  ["request.method}", 'has a single \\"}\\"'],
])("%j is refused: %s", (format, message) => {
  expect(() => formatOf(format)).toThrow(message);
});

test("every example in the schema can be written as it is", () => {
  const made = JSON.stringify(z.toJSONSchema(schema, { io: "input" }));
  const examples = [...made.matchAll(/"examples":(\[[^\]]*\])/g)].flatMap(([, list]) => JSON.parse(list!) as string[]);
  const formats = examples.filter((one) => one === "json" || one === "combined" || one.includes("{"));
  expect(formats.length).toBeGreaterThan(2);
  for (const format of formats) expect(formatOf(format)).toBe(format);
});
