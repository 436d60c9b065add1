/** `method`: case-sensitive (RFC 9110 §9.1), and just those named: GET does not include HEAD. */
import type { Reading } from "../../config/address.ts";
import { isToken } from "../../http/grammar.ts";
import { defineMatcher, orList } from "../matcher.ts";
import { textList } from "../text-list.ts";

export const method = defineMatcher<readonly string[]>({
  name: "method",
  options: () => textList("bad-method", readMethod, "Request method, or a list."),
  create(methods) {
    return {
      specificity: 1,
      matches: (exchange) => methods.includes(exchange.request.method),
      describe: () => `method ${orList(methods)}`,
      found: (exchange) => exchange.request.method,
    };
  },
});

const COMMON = /^(?:GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH)$/;

function readMethod(text: string): Reading {
  const upper = text.toUpperCase();
  if (!isToken(text)) return { problem: `${JSON.stringify(text)} is not a method` };
  if (text === upper || !COMMON.test(upper)) return { text };
  return { problem: `${JSON.stringify(text)} is not a method: methods are case-sensitive`, hint: `write ${upper}` };
}
