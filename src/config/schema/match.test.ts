import { expect, test } from "bun:test";
import { variables } from "../../http/variable-rules.ts";
import { matchOf } from "./match.ts";

const match = matchOf(variables);

test.each([
  [{ path: "a" }, "is not a path pattern"],
  ["a", "is not a path pattern"],
  [{ path: ["/a", "~("] }, "is not a regex"],
  [{ host: "http://a" }, "is not a host"],
  [{ method: "get" }, "methods are case-sensitive"],
  [{ client: "10.0.0.0/33" }, "is not a prefix length"],
  [{ field: { a: "~(" } }, "is not a regex"],
  [{ field: { "a b": true } }, "Invalid key"],
  [{ variable: { "tls.versoin": "TLSv1.3" } }, 'there is no variable \\"tls.versoin\\"'],
  [{ any: [{ not: { variable: { "param.id": true } } }] }, "can be no condition"],
  [{ variable: { "tls.version": "~(" } }, "is not a regex"],
  [{ variable: "tls.version" }, "expected record"],
  [{ protocol: "HTTP/9" }, "Invalid"],
  [{ any: [] }, "Too small"],
  [{ paht: "/" }, "Unrecognized key"],
  [{ not: { any: [{ paht: "/" }] } }, "Unrecognized key"],
])("%j is refused: %s", (given, message) => {
  expect(() => match.parse(given)).toThrow(message);
});
