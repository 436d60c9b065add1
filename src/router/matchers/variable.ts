/**
 * `variable`: variables by name, as templates have them. One that is empty is absent: `true` and `false` ask for
 * that, while a text and a regex see the empty text.
 */
import { readerFor } from "../../http/variable.ts";
import { defineMatcher } from "../matcher.ts";
import { valuesMatcher } from "../value-test.ts";

export const variable = defineMatcher({
  name: "variable",
  create(conditions) {
    return valuesMatcher("variable", conditions, (name) => {
      const read = readerFor(name);
      const asksIfThere = typeof conditions[name] === "boolean";
      return {
        first: asksIfThere ? (exchange) => read(exchange) || undefined : read,
        all: () => [],
      };
    });
  },
});
