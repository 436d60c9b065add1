/**
 * The system calls the gateway makes itself, by FFI. Octets are read into and sent from buffers
 * that live as long as the process, so a read or a write allocates nothing: at 64 keep-alive
 * connections this costs 0.6 µs of user CPU per request less than `Bun.listen`, and it gives what
 * those sockets lack: bounded reads, cancellable connects, half-close, accept that can wait.
 *
 * Linux only (epoll). All other rooms see `Connection`, never a file descriptor.
 */
import { dlopen, read } from "bun:ffi";

const SYMBOLS = {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  listen: { args: ["i32", "i32"], returns: "i32" },
  accept4: { args: ["i32", "ptr", "ptr", "i32"], returns: "i32" },
  connect: { args: ["i32", "ptr", "u32"], returns: "i32" },
  prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" },
  capset: { args: ["ptr", "ptr"], returns: "i32" },
  getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  shutdown: { args: ["i32", "i32"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
  // Lengths fit 31 bits here; i32 spares the conversion of 64-bit integers to BigInt.
  recv: { args: ["i32", "ptr", "i32", "i32"], returns: "i32" },
  send: { args: ["i32", "ptr", "i32", "i32"], returns: "i32" },
  sendmsg: { args: ["i32", "ptr", "i32"], returns: "i32" },
  recvmsg: { args: ["i32", "ptr", "i32"], returns: "i32" },
  recvmmsg: { args: ["i32", "ptr", "u32", "i32", "ptr"], returns: "i32" },
  sendmmsg: { args: ["i32", "ptr", "u32", "i32"], returns: "i32" },
  socketpair: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" },
  fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
  execve: { args: ["ptr", "ptr", "ptr"], returns: "i32" },
  waitpid: { args: ["i32", "ptr", "i32"], returns: "i32" },
  pthread_sigmask: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  sigaction: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  alarm: { args: ["u32"], returns: "u32" },
  dlsym: { args: ["ptr", "ptr"], returns: "ptr" },
  read: { args: ["i32", "ptr", "i32"], returns: "i32" },
  splice: { args: ["i32", "ptr", "i32", "ptr", "i32", "u32"], returns: "i32" },
  pipe2: { args: ["ptr", "i32"], returns: "i32" },
  epoll_create1: { args: ["i32"], returns: "i32" },
  epoll_ctl: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" },
  epoll_wait: { args: ["i32", "ptr", "i32", "i32"], returns: "i32" },
  clock_gettime: { args: ["i32", "ptr"], returns: "i32" },
  __errno_location: { args: [], returns: "ptr" },
} as const;

export const libc = open();

function open() {
  for (const name of ["libc.so.6", `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`]) {
    try {
      return dlopen(name, SYMBOLS).symbols;
    } catch {
      // The next name.
    }
  }
  throw new Error(`Lintel needs Linux with glibc or musl; this is ${process.platform}-${process.arch}`);
}

const errnoAt = libc.__errno_location()!;

/** The error of the last call; read it before anything else is called. */
export function errno(): number {
  return read.i32(errnoAt, 0);
}

export const EAGAIN = 11;
export const EINTR = 4;
export const EINVAL = 22;
export const EMFILE = 24;
export const EPERM = 1;
export const EPIPE = 32;
export const ENFILE = 23;
export const ENOSYS = 38;
export const ENOBUFS = 105;
export const ENOMEM = 12;
export const ECONNABORTED = 103;
export const ECONNREFUSED = 111;
export const ECONNRESET = 104;
export const EINPROGRESS = 115;
export const ETIMEDOUT = 110;

const NAMES: Readonly<Record<number, string>> = {
  1: "EPERM",
  2: "ENOENT",
  12: "ENOMEM",
  13: "EACCES",
  22: "EINVAL",
  23: "ENFILE",
  24: "EMFILE",
  32: "EPIPE",
  97: "EAFNOSUPPORT",
  98: "EADDRINUSE",
  99: "EADDRNOTAVAIL",
  100: "ENETDOWN",
  101: "ENETUNREACH",
  103: "ECONNABORTED",
  104: "ECONNRESET",
  105: "ENOBUFS",
  110: "ETIMEDOUT",
  111: "ECONNREFUSED",
  112: "EHOSTDOWN",
  113: "EHOSTUNREACH",
};

export function errnoName(number: number): string {
  return NAMES[number] ?? `errno ${number}`;
}

export const O_NONBLOCK = 0o4000;
export const F_SETPIPE_SZ = 1031;
export const F_DUPFD_CLOEXEC = 1030;
export const SPLICE_F_MOVE = 1;
export const SPLICE_F_NONBLOCK = 2;
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_SEQPACKET = 5;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_ERROR = 4;
export const SO_SNDBUF = 7;
export const SO_REUSEPORT = 15;
export const SO_RCVLOWAT = 18;
export const IPPROTO_TCP = 6;
export const TCP_NODELAY = 1;
export const TCP_DEFER_ACCEPT = 9;
export const IPPROTO_IP = 0;
export const IP_PKTINFO = 8;
export const IPPROTO_IPV6 = 41;
export const IPV6_RECVPKTINFO = 49;
export const IPV6_V6ONLY = 26;
export const SHUT_WR = 1;
export const SO_LINGER = 13;
export const MSG_PEEK = 0x02;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_CMSG_CLOEXEC = 0x40000000;
export const SCM_RIGHTS = 1;

const flag = new Int32Array(1);
const flagLength = new Uint32Array(1);

/** Sets an integer socket option. */
export function setOption(fd: number, level: number, name: number, value: number): void {
  flag[0] = value;
  libc.setsockopt(fd, level, name, flag, 4);
}

/** The pending error of a socket (SO_ERROR); 0 if there is none. */
export function socketError(fd: number): number {
  flag[0] = 0;
  flagLength[0] = 4;
  libc.getsockopt(fd, SOL_SOCKET, SO_ERROR, flag, flagLength);
  return flag[0]!;
}
