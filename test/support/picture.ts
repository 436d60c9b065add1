/** Pixels of a PNG as browsers write them: 8 bits per channel, not interlaced (ISO/IEC 15948). */
import { inflateSync } from "node:zlib";

const SIGNATURE = "89504e470d0a1a0a";
/** Octets per pixel by colour type: RGB, RGBA. */
const PIXEL_OCTETS: Readonly<Record<number, number>> = { 2: 3, 6: 4 };

export class Picture {
  readonly width: number;
  readonly height: number;
  readonly #pixelOctets: number;
  readonly #pixels: Uint8Array;

  private constructor(width: number, height: number, pixelOctets: number, pixels: Uint8Array) {
    this.width = width;
    this.height = height;
    this.#pixelOctets = pixelOctets;
    this.#pixels = pixels;
  }

  /** @throws {Error} if it is no PNG, or of another kind */
  static decode(png: Buffer): Picture {
    if (png.subarray(0, 8).toString("hex") !== SIGNATURE) throw new Error("no PNG");
    const data: Buffer[] = [];
    let head: Buffer = Buffer.alloc(0);
    for (let at = 8; at < png.length; ) {
      const length = png.readUInt32BE(at);
      const type = png.toString("latin1", at + 4, at + 8);
      const content = png.subarray(at + 8, at + 8 + length);
      if (type === "IHDR") head = content;
      if (type === "IDAT") data.push(content);
      at += 12 + length;
    }
    const [width, height] = [head.readUInt32BE(0), head.readUInt32BE(4)];
    const [depth, colourType, , , interlace] = head.subarray(8);
    const pixelOctets = PIXEL_OCTETS[colourType!];
    if (depth !== 8 || pixelOctets === undefined || interlace !== 0)
      throw new Error(`a PNG of depth ${depth}, colour type ${colourType}, interlace ${interlace}`);
    return new Picture(
      width,
      height,
      pixelOctets,
      unfilter(inflateSync(Buffer.concat(data)), width, height, pixelOctets),
    );
  }

  /** "#rrggbb" */
  at(x: number, y: number): string {
    const from = (y * this.width + x) * this.#pixelOctets;
    return `#${Buffer.from(this.#pixels.subarray(from, from + 3)).toString("hex")}`;
  }

  /** How much of it each colour has, from 0 to 1. */
  shares(): Map<string, number> {
    const shares = new Map<string, number>();
    for (let y = 0; y < this.height; y++)
      for (let x = 0; x < this.width; x++) {
        const colour = this.at(x, y);
        shares.set(colour, (shares.get(colour) ?? 0) + 1 / (this.width * this.height));
      }
    return shares;
  }
}

/** Each row begins with its filter, and tells differences to what stands on the left and above (§9). */
function unfilter(filtered: Uint8Array, width: number, height: number, pixelOctets: number): Uint8Array {
  const rowOctets = width * pixelOctets;
  const pixels = new Uint8Array(rowOctets * height);
  for (let y = 0; y < height; y++) {
    const filter = filtered[y * (rowOctets + 1)]!;
    for (let i = 0; i < rowOctets; i++) {
      const at = y * rowOctets + i;
      const left = i < pixelOctets ? 0 : pixels[at - pixelOctets]!;
      const above = y === 0 ? 0 : pixels[at - rowOctets]!;
      const corner = y === 0 || i < pixelOctets ? 0 : pixels[at - rowOctets - pixelOctets]!;
      pixels[at] = filtered[y * (rowOctets + 1) + 1 + i]! + guess(filter, left, above, corner);
    }
  }
  return pixels;
}

function guess(filter: number, left: number, above: number, corner: number): number {
  if (filter === 0) return 0;
  if (filter === 1) return left;
  if (filter === 2) return above;
  if (filter === 3) return (left + above) >> 1;
  if (filter !== 4) throw new Error(`a PNG with filter ${filter}`);
  // Paeth: the one of the three that is next to left + above - corner.
  const [byLeft, byAbove, byCorner] = [above - corner, left - corner, left + above - 2 * corner].map(Math.abs);
  if (byLeft! <= byAbove! && byLeft! <= byCorner!) return left;
  return byAbove! <= byCorner! ? above : corner;
}
