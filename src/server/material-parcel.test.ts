import { expect, test } from "bun:test";
import { Authority } from "../tls/testing.ts";
import { materialCertificate, NO_MATERIAL, type TlsMaterial } from "../tls/tls-material.ts";
import { type MaterialParcel, MaterialReceiver, packMaterial } from "./material-parcel.ts";

const authority = new Authority();
const certificate = (name: string) =>
  materialCertificate({ source: "test", origin: name, ...authority.issue([`${name}.test`]) });
const of = (...certificates: TlsMaterial["certificates"]): TlsMaterial => ({ ...NO_MATERIAL, certificates });

/** As a message between processes does it. */
const sent = (parcel: MaterialParcel): MaterialParcel => structuredClone(parcel);
const whole = ({ certificates }: MaterialParcel) => certificates.filter((one) => typeof one !== "string").length;

const [a, b, c] = [certificate("a"), certificate("b"), certificate("c")];

test("only what is new is sent, and the rest are the same objects", () => {
  const first = structuredClone(of(a, b));
  const receiver = new MaterialReceiver(first);
  const parcel = sent(packMaterial({ ...of(a, c, b), tokens: { t: "k" } }, of(a, b)));
  expect(whole(parcel)).toBe(1);
  const material = receiver.change(parcel);
  expect(material).toEqual({ ...of(a, c, b), tokens: { t: "k" } });
  expect(material.certificates[0]).toBe(first.certificates[0]!);
  expect(whole(packMaterial(of(a), of(a, c, b)))).toBe(0);
});

test("one that is used for other names, or has another chain, is another", () => {
  const renamed = { ...a, names: ["other.test"] };
  const chained = { ...a, cert: a.cert + authority.cert };
  expect(whole(packMaterial(of(renamed, chained, { ...a }), of(a)))).toBe(2);
});

test("a config that is prepared, changes meanwhile, and one right after the commit", () => {
  const receiver = new MaterialReceiver(of(a));
  expect(receiver.prepare(sent(packMaterial(of(b), of(a))))).toEqual(of(b));
  expect(receiver.change(sent(packMaterial(of(a, c), of(a))))).toEqual(of(a, c));
  receiver.commit();
  // Packed for what was in force before the commit.
  expect(receiver.change(sent(packMaterial(of(b, c), of(a, c))))).toEqual(of(b, c));
  expect(receiver.change(sent(packMaterial(of(b), of(b, c))))).toEqual(of(b));
});

test("one that is called off leaves what there was", () => {
  const receiver = new MaterialReceiver(of(a));
  receiver.prepare(sent(packMaterial(of(b), of(a))));
  expect(receiver.prepare(sent(packMaterial(of(a, c), of(a))))).toEqual(of(a, c));
  receiver.commit();
  expect(receiver.change(sent(packMaterial(of(c), of(a, c))))).toEqual(of(c));
});

test("what never came cannot be unpacked", () => {
  expect(() => new MaterialReceiver(of(b)).change(sent(packMaterial(of(a), of(a))))).toThrow("that never came");
});
