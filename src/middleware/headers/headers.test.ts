import { expect, test } from "bun:test";
import { Failure } from "../../base/failure.ts";
import type { Handler } from "../../http/define.ts";
import { HttpResponse } from "../../http/message.ts";
import { build, get, origin, problems } from "../testing.ts";
import { headers } from "./headers.ts";

async function up(options: unknown, fields: Record<string, string | string[]>, target = "/") {
  const { handler, seen } = origin();
  await build(headers, { request: options })(handler)(get(target, fields));
  return Object.fromEntries(
    [...new Set([...seen.fields].map(([name]) => name))].map((n) => [n, seen.fields.getAll(n)]),
  );
}

async function down(options: unknown, fields: Record<string, string | string[]>) {
  const { handler } = origin(200, fields);
  const response = await build(headers, { response: options })(handler)(get("/a?b=c"));
  return [...response.fields];
}

test("set replaces all lines of a name, add keeps them, default only fills a gap", async () => {
  const options = { set: { "X-A": "new" }, add: { "x-b": "two" }, default: { "x-c": "ours", "x-d": "ours" } };
  expect(await up(options, { "x-a": ["1", "2"], "x-b": "one", "x-c": "theirs" })).toEqual({
    "x-a": ["new"],
    "x-b": ["one", "two"],
    "x-c": ["theirs"],
    "x-d": ["ours"],
  });
});

test("a list of values makes several lines", async () => {
  const edited = await down({ add: { "set-cookie": ["a=1", "b=2"] } }, { "set-cookie": "c=3" });
  expect(edited).toEqual([
    ["set-cookie", "c=3"],
    ["set-cookie", "a=1"],
    ["set-cookie", "b=2"],
  ]);
});

test("remove takes names in any case, and a trailing * any name that begins so", async () => {
  const edited = await down(
    { remove: ["SERVER", "x-internal-*"] },
    { server: "x", "X-Internal-A": "1", "x-inter": "2" },
  );
  expect(edited).toEqual([["x-inter", "2"]]);
});

test('"*" removes everything but what belongs to framing and, in a request, Host', async () => {
  expect(
    await up({ remove: ["*"] }, { host: "example.com", te: "trailers", "x-a": "1", "content-length": "0" }),
  ).toEqual({
    host: ["example.com"],
    te: ["trailers"],
    "content-length": ["0"],
  });
});

test("a request's field cannot come back with an underscore, which some origin servers read as a hyphen", async () => {
  const sent = { X_User: "forged", "x-USER": "forged", X_Internal_A: "1", other_a: "1", x_request_id: "1" };
  expect(await up({ set: { "X-User": "real" }, remove: ["x-internal-*", "x-request-id"] }, sent)).toEqual({
    other_a: ["1"],
    "x-user": ["real"],
  });
  expect(await down({ remove: ["x-a"] }, { x_a: "1" })).toEqual([["x_a", "1"]]);
});

test("replace changes each line where the expression matches, with its groups", async () => {
  const edited = await down(
    { replace: { "set-cookie": { pattern: "; domain=([a-z]+)\\.internal", with: "; domain=$1.example" } } },
    { "set-cookie": ["a=1; domain=shop.internal", "b=2"] },
  );
  expect(edited).toEqual([
    ["set-cookie", "a=1; domain=shop.example"],
    ["set-cookie", "b=2"],
  ]);
});

test("every match is replaced, and several replacements run one after the other", async () => {
  const edited = await down(
    {
      replace: {
        "x-a": [
          { pattern: "a", with: "b" },
          { pattern: "b+", with: "<$&>" },
        ],
      },
    },
    { "x-a": "a-aa" },
  );
  expect(edited).toEqual([["x-a", "<b>-<bb>"]]);
});

test("what a match is replaced with is a template, whose groups are those of the expression", async () => {
  const replace = {
    "x-a": [
      { pattern: "(?<first>\\w+)@internal", with: "$<first>@{request.host} {{$1}}" },
      { pattern: "W/", with: "{response.field.etag}" },
    ],
  };
  expect(await down({ replace }, { "x-a": "me@internal W/x", etag: "7" })).toEqual([
    ["etag", "7"],
    ["x-a", "me@example.com {me} 7x"],
  ]);
});

test("a variable in a replacement brings in no group, no line end and no other text than its own", async () => {
  const sent = { "x-a": "secret", "x-b": "$1 $& $<x> $$ $`" };
  const replace = { "x-a": { pattern: "(secret)", with: "<{request.field.x-b}>" } };
  expect(await up({ replace }, sent)).toEqual({ "x-a": ["<$1 $& $<x> $$ $`>"], "x-b": [sent["x-b"]] });
  const lines = { "x-a": { pattern: "secret", with: "{request.query.q}" } };
  expect(await up({ replace: lines }, sent, "/?q=a%0d%0ax-c:%201")).toMatchObject({ "x-a": ["a  x-c: 1"] });
});

test("what stands before a variable makes no group with what the variable brings in", async () => {
  const replace = { "x-a": { pattern: "a(b)", with: "${client.address}" } };
  expect(await up({ replace }, { "x-a": "ab!" })).toEqual({ "x-a": ["$192.0.2.1!"] });
});

test("JSON in a replacement has its braces twice, and who writes them once is told so", async () => {
  const replace = { "x-a": { pattern: "x", with: '{{"a":1}}' } };
  expect(await up({ replace }, { "x-a": "x" })).toEqual({ "x-a": ['{"a":1}'] });
  const once = { "x-a": { pattern: "x", with: '{"a":1}' } };
  expect(problems(headers, { request: { replace: once } }).join()).toContain('write "{{" and "}}"');
});

test("spaces around a replacement are part of it", async () => {
  expect(await up({ replace: { "x-a": { pattern: ",", with: " ; " } } }, { "x-a": "a,b," })).toEqual({
    "x-a": ["a ; b ;"],
  });
});

test("the order is remove, replace, set, add, default", async () => {
  const options = {
    default: { "x-a": "5" },
    add: { "x-a": "4" },
    set: { "x-a": "3" },
    remove: ["x-a"],
  };
  expect(await up(options, { "x-a": "1" })).toEqual({ "x-a": ["3", "4"] });
});

test("values are templates, also of the field that they set", async () => {
  const options = { set: { "x-path": "{request.path}", "x-a": "<{request.field.x-a}>" } };
  expect(await up(options, { "x-a": "1" }, "/p?q")).toEqual({ "x-path": ["/p"], "x-a": ["<1>"] });
});

test("response edits can read the response", async () => {
  const edited = await down({ set: { "x-status": "{response.status} {response.field.etag}" } }, { etag: '"1"' });
  expect(edited).toContainEqual(["x-status", '200 "1"']);
});

test("a value that comes out empty writes no line", async () => {
  expect(await up({ set: { "x-user": "{request.cookie.user}" } }, { "x-user": "forged", "x-b": "1" })).toEqual({
    "x-b": ["1"],
  });
});

test("the case of a name is the config's", async () => {
  const { handler, seen } = origin();
  await build(headers, { request: { set: { "X-Frame": "1" } } })(handler)(get());
  expect(seen.fields.toString()).toBe("X-Frame: 1\r\n");
});

test.each([
  ["CR LF", "%0D%0Aset-cookie:%20a=1", "  set-cookie: a=1"],
  ["LF alone", "a%0Ab", "a b"],
  ["CR alone", "a%0Db", "a b"],
  ["NUL", "a%00b", "a b"],
  ["DEL and ESC", "a%7F%1Bb", "a  b"],
])("%s in a variable cannot end a field line (RFC 9110 §5.5)", async (_, query, shown) => {
  const { handler, seen } = origin(200, {});
  const options = {
    request: { set: { "x-q": "{request.query.q}" } },
    response: { add: { "x-q": "{request.query.q}!" } },
  };
  const response = await build(headers, options)(handler)(get(`/?q=${query}`));
  expect(seen.fields.toString()).toBe(`x-q: ${shown.trim()}\r\n`);
  expect(response.fields.toString()).toBe(`x-q: ${shown.trimStart()}!\r\n`);
});

test("text beyond ASCII is written as UTF-8, in the config and in variables; octets of fields stay as they are", async () => {
  const utf8 = (text: string) => Buffer.from(text).toString("latin1");
  const options = { set: { "x-a": "grün {request.path}", "x-b": "{request.field.x-raw}" } };
  expect(await up(options, { "x-raw": "\u00fc" }, "/%E6%97%A5/%C3%BC")).toEqual({
    "x-a": [utf8("grün /日/ü")],
    "x-b": ["\u00fc"],
    "x-raw": ["\u00fc"],
  });
});

test("with request edits alone no promise is added", () => {
  const response = new HttpResponse(200);
  const handler: Handler = () => response;
  expect(build(headers, { request: { set: { a: "b" } } })(handler)(get())).toBe(response);
});

test("a failure passes by the response edits as it is", async () => {
  const failure = new Failure("no-endpoint", "none");
  const handler: Handler = () => {
    throw failure;
  };
  const edited = build(headers, { response: { set: { a: "b" } } })(handler);
  await expect(Promise.resolve(edited(get()))).rejects.toBe(failure);
});

test.each(["content-length", "Transfer-Encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect"])(
  "%s belongs to framing or connection and cannot be edited (RFC 9110 §7.6.1)",
  (name) => {
    for (const side of ["request", "response"]) {
      expect(problems(headers, { [side]: { set: { [name]: "1" } } }).join()).toContain("cannot be changed");
      expect(problems(headers, { [side]: { add: { [name]: "1" } } }).join()).toContain("cannot be changed");
      expect(problems(headers, { [side]: { default: { [name]: "1" } } }).join()).toContain("cannot be changed");
      expect(problems(headers, { [side]: { remove: [name] } }).join()).toContain("cannot be changed");
      const replace = { [name]: { pattern: "a", with: "b" } };
      expect(problems(headers, { [side]: { replace } }).join()).toContain("cannot be changed");
    }
  },
);

test("a request's Host belongs to the upstream", () => {
  expect(problems(headers, { request: { set: { Host: "x" } } }).join()).toContain("property of the upstream");
});

test("what is wrong is said with its reason", () => {
  expect(problems(headers, { request: { set: { "a b": "1" } } })).toEqual(['"a b" is not a field name']);
  expect(problems(headers, { response: { remove: ["a b*"] } })).toEqual(['"a b" is not a field name']);
  expect(problems(headers, { response: { set: { a: "1\r\nb: 2" } } }).join()).toContain("line end");
  expect(problems(headers, { response: { set: { a: "{nothing}" } } }).join()).toContain(
    "there is no variable {nothing}",
  );
  const replace = { a: { pattern: "(", with: "" } };
  expect(problems(headers, { response: { replace } }).join()).toContain("is not a regular expression");
  expect(problems(headers, { reqest: {} }).join()).toContain("reqest");
});

test("numbers and booleans count as their text", async () => {
  expect(await up({ set: { "x-a": 1, "x-b": true } }, {})).toEqual({ "x-a": ["1"], "x-b": ["true"] });
});
