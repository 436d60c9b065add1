/**
 * TLS material on its way to a process that has most of it already: certificates it has are only named. Of
 * ten thousand, reading them all anew at each renewal would hold up its traffic for 50 ms.
 */
import type { MaterialCertificate, TlsMaterial } from "../tls/tls-material.ts";

export interface MaterialParcel extends Omit<TlsMaterial, "certificates"> {
  /** Whole, or the mark of one that the receiver has. */
  readonly certificates: readonly (MaterialCertificate | string)[];
}

/** @param before what the receiver has */
export function packMaterial(material: TlsMaterial, before: TlsMaterial): MaterialParcel {
  const known = new Set(before.certificates.map(markOf));
  const certificates = material.certificates.map((one) => {
    const mark = markOf(one);
    return known.has(mark) ? mark : one;
  });
  return { ...material, certificates };
}

/** The receiver's side. */
export class MaterialReceiver {
  /** In force. */
  #current: ReadonlyMap<string, MaterialCertificate>;
  /** In force before the last commit: what is told right after it was packed for that. */
  #earlier: ReadonlyMap<string, MaterialCertificate> = new Map();
  #prepared: ReadonlyMap<string, MaterialCertificate> = new Map();

  /** @param first that came whole */
  constructor(first: TlsMaterial) {
    this.#current = byMark(first);
  }

  /** For another config. @throws {Error} if it names what never came */
  prepare(parcel: MaterialParcel): TlsMaterial {
    const material = this.#unpack(parcel);
    this.#prepared = byMark(material);
    return material;
  }

  /** What was prepared last is in force. */
  commit(): void {
    this.#earlier = this.#current;
    this.#current = this.#prepared;
  }

  /** For the config in force. @throws {Error} if it names what never came */
  change(parcel: MaterialParcel): TlsMaterial {
    const material = this.#unpack(parcel);
    this.#current = byMark(material);
    return material;
  }

  #unpack(parcel: MaterialParcel): TlsMaterial {
    const certificates = parcel.certificates.map((one) => {
      if (typeof one !== "string") return one;
      const known = this.#current.get(one) ?? this.#earlier.get(one);
      if (known === undefined) throw new Error("a certificate is named that never came");
      return known;
    });
    return { ...parcel, certificates };
  }
}

const marks = new WeakMap<MaterialCertificate, string>();

/** The same for what is the same in every part. */
function markOf(certificate: MaterialCertificate): string {
  let mark = marks.get(certificate);
  if (mark === undefined) {
    const { source, origin, site, names, fingerprint, cert, key } = certificate;
    const parts = JSON.stringify([source, origin, site, names, cert, key]);
    mark = `${fingerprint} ${new Bun.CryptoHasher("sha256").update(parts).digest("base64")}`;
    marks.set(certificate, mark);
  }
  return mark;
}

const byMark = ({ certificates }: TlsMaterial): Map<string, MaterialCertificate> =>
  new Map(certificates.map((one) => [markOf(one), one]));
