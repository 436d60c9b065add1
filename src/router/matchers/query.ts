/** `query`: parameters of the query by name, both decoded. Of a repeated parameter one value is enough. */
import { queryParameter, queryParameters } from "../../http/query.ts";
import { defineMatcher } from "../matcher.ts";
import { valuesMatcher } from "../value-test.ts";

export const query = defineMatcher({
  name: "query",
  create(conditions) {
    return valuesMatcher("query parameter", conditions, (name) => ({
      first: (exchange) => queryParameter(exchange.query, name),
      all: (exchange) => queryParameters(exchange.query, name),
    }));
  },
});
