/** `query`: parameters of the query by name, both decoded. Of a repeated parameter one value is enough. */
import { z } from "zod";
import type { ValueMatch } from "../../config/gateway-config.ts";
import { queryParameter, queryParameters } from "../../http/query.ts";
import { defineMatcher } from "../matcher.ts";
import { valueOption, valuesMatcher } from "../value-test.ts";

export const query = defineMatcher<Readonly<Record<string, ValueMatch>>>({
  name: "query",
  options: () => z.record(z.string(), valueOption).meta({ description: "Query parameters by name." }),
  create(conditions) {
    return valuesMatcher("query parameter", conditions, (name) => ({
      first: (exchange) => queryParameter(exchange.query, name),
      all: (exchange) => queryParameters(exchange.query, name),
    }));
  },
});
