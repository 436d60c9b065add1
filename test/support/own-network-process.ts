/** Sets the loopback of its network up, says so, and keeps the network until its standard input ends. */
import { dlopen, ptr } from "bun:ffi";

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SIOCSIFFLAGS = 0x8914;
const IFF_UP = 1;
/** struct ifreq: the name in 16 octets, then the flags. */
const IFREQ_OCTETS = 40;
const NAME_OCTETS = 16;

const { symbols: libc } = dlopen("libc.so.6", {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
});
const request = Buffer.alloc(IFREQ_OCTETS);
request.write("lo");
request.writeInt16LE(IFF_UP, NAME_OCTETS);
if (libc.ioctl(libc.socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFFLAGS, ptr(request)) !== 0)
  throw new Error("the loopback cannot be set up");
console.log("up");
await Bun.stdin.text();
