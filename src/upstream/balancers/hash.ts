/**
 * `hash` keeps each value of a key at one endpoint. By default on a ring (consistent, exactly nginx's
 * `hash … consistent`): adding one endpoint to N moves about 1/(N+1) of the keys, removing one moves
 * only its own. With `consistent: false` it is nginx's plain `hash`, which moves most.
 *
 * `boundedLoad: 1.25` sends a key on along the ring when its endpoint has more than 1.25 times its
 * share of the exchanges in flight, so that a hot key cannot drown one endpoint. It is off unless
 * asked for: who hashes expects the same endpoint for the same key.
 *
 * An exchange without a key goes to whose turn it is.
 */
import { z } from "zod";
import { compileTemplate, type Template, templateText } from "../../http/variable.ts";
import { type Balancer, defineBalancer } from "./balancer.ts";
import { BoundedLoad } from "./bounded-load.ts";
import { CRC_START, crcOf, crcText } from "./crc32.ts";
import { HashRing } from "./hash-ring.ts";
import { Turns, weighted } from "./turns.ts";
import { WeightSlots } from "./weight-slots.ts";

/** Further places that are tried when one cannot be used, before the turn decides. */
const RETRIES = 20;

export const hash = defineBalancer({
  name: "hash",
  summary: "By a key: exchanges of the same key go to the same endpoint, and stay there when others come or go.",
  options: z
    .strictObject({
      key: templateText("What is hashed, such as `{client.address}` or `{request.cookie.user}`."),
      consistent: z.boolean().default(true).meta({
        description: "On a ring, where a change of the endpoints moves few keys; false: nginx's plain `hash`.",
      }),
      boundedLoad: z.number().gt(1).max(100).optional().meta({
        description: "Most an endpoint may have of its share of the exchanges in flight, such as 1.25; else no bound.",
      }),
    })
    .refine(({ consistent, boundedLoad }) => consistent || boundedLoad === undefined, {
      message: "boundedLoad needs the ring: leave consistent away",
      path: ["boundedLoad"],
    }),
  create({ key, consistent, boundedLoad }, turn) {
    const read = compileTemplate(key);
    if (!consistent) return modulo(read, turn);
    return onRing(read, turn, boundedLoad === undefined ? null : new BoundedLoad(boundedLoad));
  },
});

function onRing(key: Template, turn: number, bound: BoundedLoad | null): Balancer {
  const ring = new HashRing();
  const turns = new Turns(turn);
  return {
    update(endpoints) {
      const some = weighted(endpoints);
      ring.update(some);
      turns.update(some);
      bound?.update(some);
    },
    pick(exchange, usable) {
      const text = key(exchange);
      if (text === "" || ring.points === 0) return turns.next(usable);
      const isFit = bound === null ? usable : bound.within(usable);
      const start = ring.find(crcOf(crcText(CRC_START, text)));
      for (let i = 0; i <= RETRIES; i++) {
        const endpoint = ring.at(start + i);
        if (isFit(endpoint)) return endpoint;
      }
      return turns.next(isFit) ?? turns.next(usable);
    },
  };
}

function modulo(key: Template, turn: number): Balancer {
  const slots = new WeightSlots();
  const turns = new Turns(turn);
  return {
    update(endpoints) {
      const some = weighted(endpoints);
      slots.update(some);
      turns.update(some);
    },
    pick(exchange, usable) {
      const text = key(exchange);
      if (text === "" || slots.total === 0) return turns.next(usable);
      let sum = 0;
      for (let retry = 0; retry <= RETRIES; retry++) {
        const start = retry === 0 ? CRC_START : crcText(CRC_START, String(retry));
        sum += (crcOf(crcText(start, text)) >>> 16) & 0x7fff;
        const endpoint = slots.at(sum % slots.total);
        if (usable(endpoint)) return endpoint;
      }
      return turns.next(usable);
    },
  };
}
