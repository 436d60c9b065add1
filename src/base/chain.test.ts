import { expect, test } from "bun:test";
import fc from "fast-check";
import { Chain, Member } from "./chain.ts";

class Guest extends Member {
  constructor(readonly name: number) {
    super();
  }
}

test("it does what a Set does", () => {
  const members = Array.from({ length: 6 }, (_, i) => new Guest(i));
  const step = fc.record({ adds: fc.boolean(), at: fc.nat(members.length - 1) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const chain = new Chain<Guest>();
      const set = new Set<Guest>();
      for (const { adds, at } of steps) {
        const member = members[at]!;
        if (!adds) expect(chain.delete(member)).toBe(set.delete(member));
        else if (!chain.has(member)) {
          chain.add(member);
          set.add(member);
        }
        expect(chain.all()).toEqual([...set]);
        expect(chain.size).toBe(set.size);
        expect(chain.first).toBe([...set][0] ?? null);
        for (const each of members) expect(chain.has(each)).toBe(set.has(each));
      }
      for (const member of chain.all()) chain.delete(member);
    }),
  );
});

test("a member of another chain is none of this one", () => {
  const [here, there] = [new Chain<Guest>(), new Chain<Guest>()];
  const member = new Guest(1);
  here.add(member);
  expect(there.has(member)).toBe(false);
  expect(there.delete(member)).toBe(false);
  expect(here.all()).toEqual([member]);
});

test("who has left refers to nobody, so nobody lives longer for it", () => {
  const chain = new Chain<Guest>();
  const [first, second, third] = [new Guest(1), new Guest(2), new Guest(3)];
  for (const member of [first, second, third]) chain.add(member);
  chain.delete(second);
  expect([second.chain, second.previous, second.next]).toEqual([null, null, null]);
  expect(chain.all()).toEqual([first, third]);
});
