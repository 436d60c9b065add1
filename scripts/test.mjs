/**
 * `npm test` on a fresh clone: installs what is missing, then runs everything (scripts/ok.ts).
 * Plain Node, since Bun may not be there yet.
 *
 * As root the test peers come from Debian's packages; otherwise it says which suites are skipped
 * for want of them.
 */
import { spawnSync } from "node:child_process";
import { installDependencies, root } from "./install.mjs";

/** Programs the tests talk to: package, executable, and what is skipped without it. */
const PEERS = [
  { package: "nginx", program: "nginx", suite: "nginx as origin server" },
  { package: "curl", program: "curl", suite: "curl as client" },
  { package: "openssl", program: "openssl", suite: "openssl as TLS client and server" },
  { package: "nghttp2-client", program: "h2load", suite: "h2load as HTTP/2 client" },
  { package: "nghttp2-server", program: "nghttpd", suite: "nghttpd as HTTP/2 origin server" },
  { package: "chromium", program: "chromium", suite: "pages in Chromium over HTTP/2 and HTTP/3" },
  { package: "libnss3-tools", program: "certutil", suite: "pages in Chromium; what lintel trust says of browsers" },
  { package: "ngtcp2-client", program: "gtlsclient", suite: "ngtcp2's client of HTTP/3" },
  { package: "dnsmasq-base", program: "dnsmasq", suite: "discovery by a real DNS server; DNS relayed over UDP" },
  { package: "redis-server", program: "redis-server", suite: "Redis relayed over TCP" },
  { package: "pebble", program: "pebble", suite: "certificates from a real ACME server" },
  { package: "ca-certificates", program: "update-ca-certificates", suite: "lintel trust" },
  { package: "logrotate", program: "logrotate", suite: "logrotate with the access log" },
  { package: "systemd", program: "systemd-analyze", suite: "systemd-analyze on the unit of the service" },
  { package: "knot", program: "knotd", suite: "dns-01 by dynamic updates of a real DNS server" },
  { package: "perl-base", program: "perl", suite: "signals on their way when the program is replaced" },
  { package: "bsdutils", program: "script", suite: "commands in a terminal" },
  { package: "patch", program: "patch", suite: "patch reads the differences between versions" },
];

const bun = installDependencies();
installPeers();
const { status, signal } = spawnSync(bun, ["scripts/ok.ts", ...process.argv.slice(2)], { cwd: root, stdio: "inherit" });
process.exit(status ?? (signal === null ? 1 : 130));

function installPeers() {
  let missing = PEERS.filter((peer) => !isInstalled(peer.program));
  if (missing.length > 0 && process.getuid() === 0 && isInstalled("apt-get")) {
    const packages = missing.map((peer) => peer.package);
    console.log(`Installing the test peers (apt-get install ${packages.join(" ")}) …`);
    aptGet("update", "-q");
    aptGet("install", "-qy", "--no-install-recommends", ...packages);
    missing = PEERS.filter((peer) => !isInstalled(peer.program));
  }
  for (const peer of missing) {
    console.log(
      `${peer.program} is not installed: skipping the suite "${peer.suite}" (Debian: apt-get install ${peer.package})`,
    );
  }
}

function aptGet(...args) {
  // A service that starts by itself at installation would only take ports from the tests.
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  const { status } = spawnSync("apt-get", args, { stdio: ["ignore", "ignore", "inherit"], env });
  if (status !== 0) console.log(`apt-get ${args[0]} ended with ${status}`);
}

function isInstalled(program) {
  const { status } = spawnSync("sh", ["-c", `command -v ${program}`], {
    stdio: "ignore",
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
  });
  return status === 0;
}
