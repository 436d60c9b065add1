/**
 * `field`: request fields by name. A field with several lines holds a value if one line has it, or
 * all of them joined by ", " do (RFC 9110 §5.3).
 */
import { fieldId } from "../../http/field-name.ts";
import { defineMatcher } from "../matcher.ts";
import { valuesMatcher } from "../value-test.ts";

export const field = defineMatcher({
  name: "field",
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
