/** CRC-32 (IEEE 802.3) in pieces, over the octets of a text: what nginx hashes keys with. */
const table = Uint32Array.from({ length: 256 }, (_, octet) => {
  let crc = octet;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
  return crc;
});

/** Register to begin with. */
export const CRC_START = -1;

export const crcOctet = (register: number, octet: number): number =>
  table[(register ^ octet) & 255]! ^ (register >>> 8);

/** One octet per character, as texts of messages are (Latin-1). */
export function crcText(register: number, text: string): number {
  let crc = register;
  for (let i = 0; i < text.length; i++) crc = crcOctet(crc, text.charCodeAt(i));
  return crc;
}

/** The four octets of a number, lowest first. */
export function crcNumber(register: number, number: number): number {
  let crc = crcOctet(register, number);
  crc = crcOctet(crc, number >>> 8);
  crc = crcOctet(crc, number >>> 16);
  return crcOctet(crc, number >>> 24);
}

/** The checksum of what went through the register: 32 bits, not negative. */
export const crcOf = (register: number): number => ~register >>> 0;
