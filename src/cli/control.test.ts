/** The commands that talk to a running Lintel, against an admin API with nothing behind it. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startAdmin } from "../admin/server.ts";
import { endpointView, type FakeControl, fakeControl } from "../admin/testing.ts";
import { asOrdinaryUser } from "../base/testing.ts";
import type { Control } from "../server/control.ts";
import type { EndpointView } from "../server/endpoint-view.ts";
import type { Admin } from "../server/supervisor.ts";
import { main } from "./program.ts";

const root = mkdtempSync(join(tmpdir(), "lintel-control-"));
const admins: Admin[] = [];
afterEach(() => {
  for (const admin of admins.splice(0)) admin.stop();
});
afterAll(() => rmSync(root, { recursive: true }));

const same = (text: string) => text;
const PLAIN = { error: same, warning: same, strong: same, faint: same };

async function lintel(...words: string[]) {
  let out = "";
  let error = "";
  const terminal = {
    out: (text: string) => void (out += text),
    error: (text: string) => void (error += text),
    paint: PLAIN,
    errorPaint: PLAIN,
  };
  return { code: await main(words, terminal), out, error };
}

/** A folder with this config, and a state folder beside it. */
function configured(text: string): string {
  const folder = mkdtempSync(join(root, "c-"));
  mkdirSync(join(folder, "state"));
  const file = join(folder, "lintel.yaml");
  writeFileSync(file, text.replace("HERE", folder));
  return file;
}

/** An admin API on the socket that the commands find by themselves. */
function running(control: Control = fakeControl(), text = "state: ./state\n"): { file: string; on: string[] } {
  const file = configured(text);
  admins.push(startAdmin({ address: `unix:${join(file, "../state/admin.sock")}`, token: null }, control));
  return { file, on: ["--config", file] };
}

describe("a running Lintel is found", () => {
  test("at the socket in the state folder, even if its config is broken by now", async () => {
    const { on } = running(fakeControl(), "state: ./state\nsites: [{ too: localhost:1 }]\n");
    expect(await lintel("upstreams", ...on)).toMatchObject({ code: 0, error: "" });
  });

  test("at the admin address of the config, if it serves that config", async () => {
    const control = fakeControl();
    const admin = startAdmin({ address: "127.0.0.1:0", token: "t" }, control);
    admins.push(admin);
    const file = configured(`state: ./state\nadmin: { address: "${new URL(admin.url).host}", token: t }\n`);
    const serving = { ...control.config(), file };
    const other = await lintel("upstreams", "--config", file);
    expect(other.error).toContain("it serves /etc/lintel/lintel.yaml");
    control.config = () => serving;
    expect(await lintel("upstreams", "--config", file)).toMatchObject({ code: 0, error: "" });
  });

  test("where --admin says, with --token or LINTEL_TOKEN", async () => {
    const admin = startAdmin({ address: "127.0.0.1:0", token: "t" }, fakeControl());
    admins.push(admin);
    const address = new URL(admin.url).host;
    expect(await lintel("upstreams", "--admin", address)).toEqual({
      code: 1,
      out: "",
      error: "lintel: the request has no bearer token\n      = give --token or set LINTEL_TOKEN\n",
    });
    expect((await lintel("upstreams", "--admin", admin.url, "--token", "t")).code).toBe(0);
    process.env["LINTEL_TOKEN"] = "t";
    try {
      expect((await lintel("upstreams", "--admin", address)).code).toBe(0);
      expect((await lintel("upstreams", "--admin", address, "--token", "x")).error).toContain("token is not the one");
    } finally {
      delete process.env["LINTEL_TOKEN"];
    }
  });

  test("or not: it says where it looked and what to do", async () => {
    const file = configured("state: ./state\nadmin: { address: 127.0.0.1:1 }\n");
    expect(await lintel("reload", "--config", file)).toEqual({
      code: 1,
      out: "",
      error: [
        `lintel: no Lintel runs with ${file}:`,
        `        unix:${join(file, "../state/admin.sock")}: there is no such socket`,
        "        127.0.0.1:1: nobody listens there",
        "      = name its config with --config FILE, or its admin address with --admin ADDR\n",
      ].join("\n"),
    });
    expect((await lintel("reload", "--admin", "unix:/nowhere")).error).toBe(
      "lintel: no Lintel runs at unix:/nowhere: there is no such socket\n",
    );
    expect(await lintel("reload", "--admin", "nowhere")).toMatchObject({ code: 2 });
    expect(await lintel("reload", "--config", "/nowhere.yaml")).toMatchObject({ code: 2 });
  });

  test("what is not Lintel's admin API is told as such", async () => {
    const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("<html>") });
    const { error, code } = await lintel("upstreams", "--admin", `127.0.0.1:${server.port}`);
    expect(code).toBe(1);
    expect(error).toContain("not as Lintel's admin API does");
    await server.stop(true);
  });

  test("a socket of another user is told as such", async () => {
    const { file, on } = running();
    const socket = join(file, "../state/admin.sock");
    for (const folder of [root, join(file, ".."), join(file, "../state")]) chmodSync(folder, 0o755);
    chmodSync(socket, 0);
    await asOrdinaryUser(async () => {
      expect((await lintel("upstreams", ...on)).error).toContain("it belongs to the user that Lintel runs as");
    });
  });
});

const FULL: EndpointView[] = [
  endpointView("10.0.0.1:80", {
    weight: 2,
    inFlight: 3,
    maxInFlight: 100,
    responses: { "2xx": 10, "5xx": 1 },
    latencyMs: { p50: 2, p90: 4, p99: 1024 },
    check: { passed: true, reason: null, at: "2026-01-01T00:00:00.000Z" },
  }),
  endpointView("10.0.0.2:80", {
    condition: "down",
    source: "dns",
    backup: true,
    check: { passed: false, reason: "status 503", at: "2026-01-01T00:00:00.000Z" },
  }),
  endpointView("10.0.0.3:80", { condition: "ejected", ejectedForMs: 8500, priority: 1 }),
];

describe("lintel upstreams", () => {
  test("shows endpoints in a table", async () => {
    const { on } = running(fakeControl({}, FULL));
    expect((await lintel("upstreams", ...on)).out).toBe(
      [
        "upstream app: round-robin",
        "  ENDPOINT     CONDITION               WEIGHT  IN FLIGHT  REQUESTS  P50  P99    CHECK",
        "  10.0.0.1:80  up                      2       3 of 100   11        2ms  1.02s  passed",
        "  10.0.0.2:80  down, from dns, backup  1       0          0         -    -      status 503",
        "  10.0.0.3:80  ejected 9s, priority 1  1       0          0         -    -      -",
        "",
      ].join("\n"),
    );
  });

  test("shows one, or JSON", async () => {
    const { on } = running(fakeControl({}, FULL));
    expect((await lintel("upstreams", "app", ...on)).out).toStartWith("upstream app");
    expect(JSON.parse((await lintel("upstreams", "app", "--json", ...on)).out)).toMatchObject({ name: "app" });
    expect(JSON.parse((await lintel("upstreams", "--json", ...on)).out)).toMatchObject({
      upstreams: [{ name: "app" }],
    });
    expect(await lintel("upstreams", "shop", ...on)).toMatchObject({
      code: 1,
      error: 'lintel: there is no upstream "shop"; there are app\n',
    });
  });

  test.each([
    [["add", "app", "10.0.0.9:80", "--weight", "3", "--persist"], "add app 10.0.0.9:80 3 true"],
    [["remove", "app", "10.0.0.1:80"], "remove app 10.0.0.1:80 null"],
    [["remove", "app", "10.0.0.1:80", "--persist"], "remove app 10.0.0.1:80 true"],
    [["weight", "app", "10.0.0.1:80", "7"], "weigh app 10.0.0.1:80 7 null"],
    [["weight", "app", "10.0.0.1:80", "default"], "weigh app 10.0.0.1:80 null null"],
    [["restore", "app", "10.0.0.1:80"], "restore app 10.0.0.1:80"],
  ])("%j makes a change", async (words, asked) => {
    const control = fakeControl();
    const { on } = running(control);
    expect((await lintel("upstreams", ...words, ...on)).code).toBe(0);
    expect(control.asked).toEqual([asked]);
  });

  test.each([
    [["ad", "app", "x"], "upstreams shows one upstream, or changes one: add, remove, weight, restore"],
    [["add", "app"], "upstreams add needs UPSTREAM ADDRESS"],
    [["weight", "app", "10.0.0.1:80", "heavy"], '"heavy" is not a weight: weights are 0 to 1000'],
    [["app", "--persist"], "--persist is for changes"],
    [["remove", "app", "x", "--weight", "1"], "--weight and --backup are for add"],
  ])("%j makes no sense", async (words, message) => {
    const { on } = running();
    expect(await lintel("upstreams", ...words, ...on)).toMatchObject({
      code: 2,
      error: expect.stringContaining(message),
    });
  });

  test("a mistake in an address is told with the way out", async () => {
    const { on } = running();
    expect((await lintel("upstreams", "add", "app", "10.0.0.9", ...on)).error).toBe(
      'lintel: "10.0.0.9" has no port\n      = write "10.0.0.9:80"\n',
    );
  });
});

describe("duties", () => {
  test.each([
    [["drain"], "setDuty app 10.0.0.1:80 draining Infinity null", "app 10.0.0.1:80 drains: 2 in flight\n"],
    [
      ["drain", "--deadline", "30s", "--persist"],
      "setDuty app 10.0.0.1:80 draining 30000 true",
      "app 10.0.0.1:80 drains: 2 in flight\n",
    ],
    [["disable"], "setDuty app 10.0.0.1:80 disabled Infinity null", "app 10.0.0.1:80 is disabled: 2 in flight\n"],
    [["enable"], "setDuty app 10.0.0.1:80 enabled Infinity null", "app 10.0.0.1:80 is enabled, but down\n"],
  ])("lintel %j", async ([command, ...flags], asked, out) => {
    const control = fakeControl({}, [endpointView("10.0.0.1:80", { inFlight: 2, condition: "down" })]);
    const { on } = running(control);
    expect(await lintel(command!, "app", "10.0.0.1:80", ...flags, ...on)).toEqual({ code: 0, error: "", out });
    expect(control.asked).toEqual([asked]);
  });

  /** Says of its endpoint one after the other, and the last one ever after. */
  function saying(sticky: boolean, ...views: Partial<EndpointView>[]): Control {
    const control: FakeControl = fakeControl();
    let at = 0;
    const view = () => ({
      name: "app",
      balance: "round-robin",
      sticky,
      endpoints: [endpointView("10.0.0.1:80", views[Math.min(at++, views.length - 1)]!)],
    });
    return { ...control, upstreams: { ...control.upstreams, view } };
  }
  const draining = (inFlight: number) => ({ condition: "draining" as const, inFlight });
  const DRAIN = ["drain", "app", "10.0.0.1:80", "--wait"];

  test("drain --wait returns when nothing is in flight", async () => {
    // Once for the address, once for the answer, then each look.
    const { on } = running(saying(false, draining(2), draining(2), draining(2), draining(2), draining(1), draining(0)));
    expect(await lintel(...DRAIN, ...on)).toEqual({
      code: 0,
      error: "2 in flight\n1 in flight\n",
      out: "app 10.0.0.1:80 is drained\n",
    });
  });

  test("where clients are bound, drain --wait needs a deadline, and waits for it", async () => {
    const { on } = running(saying(true, draining(0)));
    expect(await lintel(...DRAIN, ...on)).toMatchObject({ code: 1, error: expect.stringContaining("--deadline") });
    const disabled = { condition: "disabled" as const };
    const { on: other } = running(saying(true, draining(0), draining(0), draining(0), draining(0), disabled));
    expect(await lintel(...DRAIN, "--deadline", "1s", ...other)).toMatchObject({ code: 0, error: "0 in flight\n" });
  });

  test("drain --wait gives up when somebody enables the endpoint", async () => {
    const { on } = running(saying(false, draining(1), draining(1), draining(1), { condition: "up", inFlight: 1 }));
    expect(await lintel(...DRAIN, ...on)).toMatchObject({ code: 1, error: expect.stringContaining("it was enabled") });
  });

  test.each([
    [["drain", "app"], "drain needs an upstream and an address"],
    [["drain", "app", "x", "--deadline", "soon"], '"soon" is not a duration'],
  ])("%j makes no sense", async (words, message) => {
    expect(await lintel(...words)).toMatchObject({ code: 2, error: expect.stringContaining(message) });
  });
});

describe("lintel reload", () => {
  test("tells what is different", async () => {
    const result = { outcome: "applied", generation: 2, version: 4, diagnostics: [], tookMs: 12.3 } as const;
    const changes = ['route "shop" is new', 'upstream "app" has another balance'];
    const { on } = running(fakeControl({ reload: async () => ({ ...result, changes }) }));
    expect(await lintel("reload", ...on)).toEqual({
      code: 0,
      error: "",
      out: `reloaded in 12 ms (version 4)\n  ${changes.join("\n  ")}\n`,
    });
    const { on: other } = running(fakeControl({ reload: async () => ({ ...result, changes: [] }) }));
    expect((await lintel("reload", ...other)).out).toBe("reloaded in 12 ms, nothing is different (version 4)\n");
  });

  test("of a broken config shows every problem, as check does, and that nothing has changed", async () => {
    const diagnostic = {
      file: "lintel.yaml",
      line: 2,
      column: 3,
      length: 4,
      severity: "error",
      code: "unknown-key",
      message: "no",
      hint: null,
      path: "",
      excerpt: "  oops: 1",
    } as const;
    const reload: Control["reload"] = async () => ({
      outcome: "refused",
      reason: "bad config",
      diagnostics: [diagnostic],
    });
    const { on } = running(fakeControl({ reload }));
    expect(await lintel("reload", ...on)).toEqual({
      code: 1,
      out: "",
      error: [
        "lintel.yaml:2:3: error[unknown-key]: no",
        "    2 |   oops: 1",
        "      |   ^^^^",
        "",
        "1 error",
        "",
        "lintel: bad config",
        "      = nothing has changed: the config before is still served\n",
      ].join("\n"),
    });
  });
});

describe("lintel config", () => {
  test("lists, shows and compares versions", async () => {
    const { on } = running();
    expect((await lintel("config", "history", ...on)).out).toBe(
      [
        "  NUMBER  SINCE (UTC)          BECAUSE OF  FROM         HASH",
        "* 2       2026-01-02 00:00:00  start       lintel.yaml  h2",
        "  1       2026-01-01 00:00:00  start       lintel.yaml  h1",
        "",
      ].join("\n"),
    );
    expect((await lintel("config", "show", "1", ...on)).out).toBe("a: 1\n");
    expect((await lintel("config", "diff", "1", ...on)).out).toBe("-a: 1\n+a: 2\n");
    expect((await lintel("config", "diff", "1", "3", ...on)).error).toBe(
      "lintel: there is no version 3\n      = there are 1 to 2\n",
    );
    expect(JSON.parse((await lintel("config", "history", "--json", ...on)).out)).toMatchObject({
      versions: [{ number: 2 }, { number: 1 }],
    });
  });

  test("rolls back", async () => {
    const { on } = running();
    expect(await lintel("config", "rollback", "1", ...on)).toMatchObject({
      code: 0,
      out: "reloaded in 2 ms (version 3)\n  x\n",
    });
    expect(await lintel("config", "rollback", "9", ...on)).toMatchObject({ code: 1 });
  });

  test.each([[[]], [["histroy"]], [["diff"]], [["rollback", "x"]], [["rollback", "1", "2"]], [["history", "1"]]])(
    "config %j makes no sense",
    async (words) => {
      expect(await lintel("config", ...words)).toMatchObject({ code: 2 });
    },
  );
});

describe("lintel upgrade", () => {
  test("waits until another program answers with all workers ready", async () => {
    const control = fakeControl();
    let looks = 0;
    const after = {
      ...control,
      version: "1.2.4",
      upgrade: async () => ({ version: "1.2.4" }),
      get startedAt() {
        return looks++ < 4 ? 1000 : 2000;
      },
    };
    const { on } = running(after);
    expect(await lintel("upgrade", ...on)).toMatchObject({
      code: 0,
      out: "lintel 1.2.4 has taken over with 1 worker\n",
    });
  });

  test("says when it does not happen", async () => {
    const { on } = running();
    expect(await lintel("upgrade", "--timeout", "300ms", ...on)).toMatchObject({
      code: 1,
      error: expect.stringContaining("it has not taken over in time"),
    });
  });
});

describe("lintel top", () => {
  test("--once shows a second", async () => {
    const { on } = running(fakeControl({}, FULL));
    const { code, out } = await lintel("top", "--once", ...on);
    expect(code).toBe(0);
    expect(out).toContain("lintel 1.2.3  up ");
    expect(out).toMatch(/^ {2}10\.0\.0\.2:80 +down +0 +0 +0 +- +-$/m);
    expect(out).toMatch(/^10\.0\.0\.9 +2\.5 +0 +10 B$/m);
  });

  test("over TCP without a token shows all but the clients", async () => {
    const admin = startAdmin({ address: "127.0.0.1:0", token: null }, fakeControl());
    admins.push(admin);
    const { out } = await lintel("top", "--once", "--admin", new URL(admin.url).host);
    expect(out).toContain("not shown: over TCP it needs a token");
  });

  test("needs a terminal otherwise", async () => {
    const { on } = running();
    expect(await lintel("top", ...on)).toMatchObject({ code: 2, error: expect.stringContaining("--once") });
    expect(await lintel("top", "--sort", "size", ...on)).toMatchObject({ code: 2 });
  });
});

describe("lintel top on a terminal", () => {
  const ENTER = "\x1b[?1049h\x1b[?25l";
  const LEAVE = "\x1b[?25h\x1b[?1049l";

  /** The command in a process and a terminal of its own. */
  async function onTerminal(act: (child: Bun.Subprocess, seen: () => string) => Promise<void>) {
    const { on } = running(fakeControl({}, FULL));
    let text = "";
    const child = Bun.spawn([process.execPath, join(import.meta.dir, "main.ts"), "top", ...on], {
      terminal: { cols: 80, rows: 24, data: (_, octets) => void (text += Buffer.from(octets).toString()) },
    });
    await act(child, () => text);
    const code = await child.exited;
    await until(() => text.includes(LEAVE));
    return { code, text };
  }

  async function until(holds: () => boolean): Promise<void> {
    const deadline = performance.now() + 20_000;
    while (!holds()) {
      if (performance.now() > deadline) throw new Error("waited 20 s in vain");
      await Bun.sleep(10);
    }
  }

  test("draws each second, sorts by keys, and leaves the terminal as it was when q is pressed", async () => {
    const { code, text } = await onTerminal(async (child, seen) => {
      await until(() => seen().includes("[r requests]"));
      child.terminal!.write("e");
      await until(() => seen().includes("[e errors]"));
      child.terminal!.write("l");
      await until(() => seen().includes("[l latency]"));
      child.terminal!.write("q");
    });
    expect(code).toBe(0);
    expect(text).toStartWith(ENTER);
    expect(text).toEndWith(LEAVE);
    expect(text).toContain("10.0.0.9");
  });

  test.each([
    ["Ctrl-C", 0, (child: Bun.Subprocess) => void child.terminal!.write("\x03")],
    ["SIGTERM", 143, (child: Bun.Subprocess) => child.kill("SIGTERM")],
    ["SIGHUP", 129, (child: Bun.Subprocess) => child.kill("SIGHUP")],
  ])("leaves it as it was after %s", async (_, code, end) => {
    const ended = await onTerminal(async (child, seen) => {
      await until(() => seen().includes("[r requests]"));
      end(child);
    });
    expect(ended.code).toBe(code);
    expect(ended.text).toEndWith(LEAVE);
  });
});
