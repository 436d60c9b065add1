/** Weighted lists: `Accept`, `Accept-Encoding` (RFC 9110 §12.4.2). */

/** What a list says of one name; parameters other than `q` are left out. */
export interface Weighted {
  /** In lower case. */
  readonly name: string;
  /** 0 to 1; 0 is "not acceptable". */
  readonly q: number;
}

const WEIGHT = /^[ \t]*q[ \t]*=[ \t]*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)[ \t]*$/i;
/** More members than any client sends; the rest is not looked at. */
const MAX_MEMBERS = 64;

/** Members that are empty are skipped; a weight that is none counts as 1. */
export function parseWeighted(value: string): Weighted[] {
  const list: Weighted[] = [];
  for (const member of value.split(",", MAX_MEMBERS)) {
    const [name = "", ...parameters] = member.split(";");
    const trimmed = name.trim().toLowerCase();
    if (trimmed === "") continue;
    let q = 1;
    for (const parameter of parameters) {
      const weight = WEIGHT.exec(parameter);
      if (weight !== null) q = Number(weight[1]);
    }
    list.push({ name: trimmed, q });
  }
  return list;
}
