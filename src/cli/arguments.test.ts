import { expect, test } from "bun:test";
import { type FlagSpec, parseArguments } from "./arguments.ts";

const SPECS: FlagSpec[] = [
  { name: "config", short: "c", value: "FILE", summary: "" },
  { name: "header", short: "H", value: "FIELD", summary: "", many: true },
  { name: "json", value: null, summary: "" },
];

function parse(...words: string[]) {
  const { flags, rest } = parseArguments(words, SPECS);
  return { config: flags.get("config"), headers: flags.all("header"), json: flags.has("json"), rest };
}

test("flags stand anywhere, with their value after a space or a =", () => {
  const all = { config: "a.yaml", headers: ["x: 1", "y: -2"], json: true, rest: ["GET", "/x"] };
  expect(parse("--config", "a.yaml", "GET", "-H", "x: 1", "--json", "/x", "--header=y: -2")).toEqual(all);
});

test("after -- nothing is a flag, and - alone is none", () => {
  expect(parse("-", "--", "--json", "-c").rest).toEqual(["-", "--json", "-c"]);
});

test.each([
  [["--confg", "x"], "there is no flag --confg", "did you mean --config?"],
  [["-x"], "there is no flag -x", null],
  [["--config"], "--config needs a value: --config FILE", null],
  [["--json=1"], "--json takes no value", null],
  [["-c", "a", "--config", "b"], "--config is given twice", null],
])("%j is refused", (words, message, hint) => {
  expect(() => parse(...words)).toThrow(expect.objectContaining({ message, hint }));
});
