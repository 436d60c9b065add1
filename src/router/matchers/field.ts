/**
 * `field`: request fields by name. A field with several lines holds a value if one line has it, or
 * all of them joined by ", " do (RFC 9110 §5.3).
 */
import { z } from "zod";
import type { ValueMatch } from "../../config/gateway-config.ts";
import { fieldId } from "../../http/field-name.ts";
import { isToken } from "../../http/grammar.ts";
import { defineMatcher } from "../matcher.ts";
import { valueOption, valuesMatcher } from "../value-test.ts";

export const field = defineMatcher<Readonly<Record<string, ValueMatch>>>({
  name: "field",
  options: () =>
    z
      .record(z.string().refine(isToken), valueOption)
      .transform((given) =>
        Object.fromEntries(Object.entries(given).map(([name, match]) => [name.toLowerCase(), match])),
      )
      .meta({ description: "Request fields by name." }),
  create(conditions) {
    return valuesMatcher("field", conditions, (name) => {
      const id = fieldId(name);
      return {
        first: ({ request: { fields } }) => (id === 0 ? fields.get(name) : fields.getKnown(id)),
        all: ({ request: { fields } }) => fields.getAll(name),
      };
    });
  },
});
