// What the clients of the matrix have in common: how they tell what they hear.
import { createHash } from "node:crypto";

export const say = (object) => process.stdout.write(`${JSON.stringify(object)}\n`);

/** Content that everybody can make: octet i is i modulo 251. */
export const PERIOD = Buffer.from(Array.from({ length: 251 * 64 }, (_, i) => i % 251));

/** Without pseudo-fields. */
export const plain = (fields) => {
  const kept = {};
  for (const [name, value] of Object.entries(fields)) if (!name.startsWith(":")) kept[name] = value;
  return kept;
};

/** What is heard of a response, whatever the protocol. */
export class Heard {
  constructor(id) {
    this.id = id;
    this.hash = createHash("sha1");
    this.octets = 0;
    this.pieces = [];
    this.trailers = null;
    this.isOver = false;
  }
  interim(status, fields) {
    say({ id: this.id, event: "interim", status, fields: plain(fields) });
  }
  head(status, fields) {
    say({ id: this.id, event: "head", status, fields: plain(fields) });
  }
  data(piece) {
    this.hash.update(piece);
    this.octets += piece.length;
    if (this.octets <= 65_536) {
      this.pieces.push(piece);
      say({ id: this.id, event: "data", octets: this.octets, text: Buffer.concat(this.pieces).toString("latin1") });
    }
  }
  end(complete, error = null) {
    if (this.isOver) return;
    this.isOver = true;
    const text = this.octets <= 65_536 ? Buffer.concat(this.pieces).toString("latin1") : null;
    const { id, octets, trailers } = this;
    say({ id, event: "end", complete, octets, sha1: this.hash.digest("hex"), text, trailers, error });
  }
}
