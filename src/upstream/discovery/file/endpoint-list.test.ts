import { expect, test } from "bun:test";
import { oneLine } from "../../../config/diagnostic.ts";
import { readEndpointList } from "./endpoint-list.ts";

const plain = { weight: 1, backup: false, priority: 0, locality: null, maxInFlight: Infinity };

function said(text: string, file = "x.yaml"): string[] {
  const list = readEndpointList(text, file);
  return "problems" in list ? list.problems.map(oneLine) : [];
}

test("endpoints have the shapes they have in a config", () => {
  const text = `
# kept by deploy
- 10.0.0.1:8080
- { address: "[::1]:80", weight: 0, backup: true, priority: 2, locality: eu-1, maxInFlight: 10 }
- unix:/run/app.sock
`;
  expect(readEndpointList(text, "x.yaml")).toEqual({
    endpoints: [
      { ...plain, address: "10.0.0.1:8080" },
      { address: "[::1]:80", weight: 0, backup: true, priority: 2, locality: "eu-1", maxInFlight: 10 },
      { ...plain, address: "unix:/run/app.sock" },
    ],
  });
  expect(readEndpointList('["10.0.0.1:8080"]', "x.json")).toEqual({
    endpoints: [{ ...plain, address: "10.0.0.1:8080" }],
  });
});

test("one address alone is a list of one, and an empty list is a list", () => {
  expect(readEndpointList("localhost:3000", "x")).toEqual({ endpoints: [{ ...plain, address: "localhost:3000" }] });
  expect(readEndpointList("[]", "x.json")).toEqual({ endpoints: [] });
});

test("the list may stand under the key it has in a config", () => {
  const list = { endpoints: [{ ...plain, address: "a:80" }] };
  expect(readEndpointList("endpoints: [a:80]", "x.yaml")).toEqual(list);
  expect(readEndpointList('{"endpoints": "a:80"}', "x.json")).toEqual(list);
});

test.each([
  ["", "x.yaml:1:1: error[empty-file]: the file is empty: for no endpoints, write []"],
  ["# none\n", "x.yaml:2:1: error[empty-file]"],
  ["- 10.0.0.1:80\n- {", "x.yaml:2:"],
  ["- a:80\n- b:99999\n", 'x.yaml:2:3: error[bad-address]: port 99999 of "b:99999" is out of range'],
  [
    "- { address: a:80, wieght: 2 }\n",
    'x.yaml:1:20: error[unknown-key]: endpoint 1 has no key "wieght" (did you mean "weight"?',
  ],
  ["- a:80\n- { weight: 2 }\n", 'x.yaml:2:3: error[missing-key]: endpoint 2 needs "address"'],
  ["- { address: a:80, weight: 1001 }\n", "x.yaml:1:28: error[out-of-range]"],
  ["- a:80\n- { address: A:80 }\n", "x.yaml:2:14: error[duplicate-endpoint]: endpoint a:80 stands here a second time"],
  ["- a:80\n- a:80\n", "x.yaml:2:3: error[duplicate-endpoint]"],
  ["endpoints: [a:80, b]\n", 'x.yaml:1:19: error[bad-address]: "b" has no port'],
  ["endpoints:\n", "x.yaml:1:11: error[empty-file]"],
  ["servers: [a:80]\n", "x.yaml:1:1: error["],
  ["12\n", "x.yaml:1:1: error["],
])("%j cannot be used, and is said with its place", (text, message) => {
  expect(said(text)[0]).toStartWith(message);
});

test("JSON has its places too", () => {
  expect(said('[\n  "a:80",\n  { "address": "b" }\n]', "x.json")[0]).toStartWith(
    'x.json:3:16: error[bad-address]: "b" has no port',
  );
  expect(said('["a:80",]', "x.json")[0]).toStartWith('x.json:1:8: error[json-syntax]: there is nothing after this ","');
});

test("all that is wrong is said in one go", () => {
  expect(said("- a\n- b\n- c:80\n")).toHaveLength(2);
});
