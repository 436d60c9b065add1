import { expect, test } from "bun:test";
import { byAddress } from "./address-order.ts";

test("addresses stand by family and by number, not by text", () => {
  const sorted = ["10.0.0.2", "10.0.0.10", "192.0.2.1", "::1", "2001:db8::2", "2001:db8::10"];
  expect([...sorted].reverse().sort(byAddress)).toEqual(sorted);
});
