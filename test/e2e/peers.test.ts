/** Other people's programs at both ends: nginx as origin server, curl as client. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { needs, program } from "../../src/base/testing.ts";
import { curl, curlPath } from "../support/curl.ts";
import { Gateway } from "../support/gateway.ts";
import { Nginx, nginxPath } from "../support/nginx.ts";
import { get, RawClient } from "../support/raw.ts";

needs(program("nginx", nginxPath), program("curl", curlPath)).describe("curl → Lintel → nginx", () => {
  const large = Buffer.from(Array.from({ length: 5_000_000 }, (_, i) => (i * 13 + (i >> 10)) & 255));
  let nginx: Nginx;
  let gateway: Gateway;
  const url = (path: string) => gateway.url() + path;

  beforeAll(async () => {
    nginx = await Nginx.start(
      `location /echo { return 200 "$request_method $request_uri $http_host $http_x_forwarded_for"; }
       location /moved { return 302 /a.txt; }
       location /gzip { gzip on; gzip_types text/plain; gzip_min_length 1; gzip_proxied any; rewrite ^/[a-z]+(/.*)$ $1 break; }
       location /none { return 204; }
       location /chunked { chunked_transfer_encoding on; sub_filter a b; sub_filter_types *; rewrite ^/[a-z]+(/.*)$ $1 break; }
       location /put { dav_methods PUT; create_full_put_path on; client_max_body_size 100m; }
       keepalive_timeout 5s; client_max_body_size 100m;`,
      { "a.txt": "alphabet\n", "large.bin": large },
    );
    gateway = await Gateway.start({ upstreams: { nginx: `127.0.0.1:${nginx.port}` }, sites: [{ to: "nginx" }] });
  });
  afterAll(async () => {
    await gateway?.stop();
    await nginx?.stop();
  });

  test("a file comes as nginx has it, and again from the same connection", async () => {
    const response = await curl(url("/a.txt"), url("/a.txt"));
    expect(response.text).toBe("alphabet\nalphabet\n");
    expect(response.field("etag")).toMatch(/^"/);
  });

  test("a large file comes octet for octet, whole, in ranges, and slowly", async () => {
    expect((await curl(url("/large.bin"))).content.equals(large)).toBe(true);
    expect(
      (await curl("-r", "1000000-1999999", url("/large.bin"))).content.equals(large.subarray(1_000_000, 2_000_000)),
    ).toBe(true);
    expect((await curl("--limit-rate", "4M", url("/large.bin"))).content.equals(large)).toBe(true);
  });

  test("conditions are nginx's to decide", async () => {
    const etag = (await curl(url("/a.txt"))).field("etag")!;
    expect((await curl("-H", `If-None-Match: ${etag}`, url("/a.txt"))).status).toBe(304);
  });

  test("redirects are followed, HEAD and 204 have no content, compressed content stays so", async () => {
    expect(await curl("-L", "-H", `Host: 127.0.0.1:${gateway.port}`, url("/moved"))).toMatchObject({
      status: 200,
      text: "alphabet\n",
    });
    expect(await curl("-I", url("/a.txt"))).toMatchObject({ status: 200 });
    expect(await curl(url("/none"))).toMatchObject({ status: 204, text: "" });
    expect(await curl("--compressed", url("/gzip/a.txt"))).toMatchObject({ status: 200, text: "alphabet\n" });
  });

  test("content of unknown length comes chunked", async () => {
    const response = await curl("--raw", url("/chunked/a.txt"));
    expect(response.field("transfer-encoding")).toBe("chunked");
    expect(response.text).toMatch(/^[0-9a-f]+\r\n[\s\S]*0\r\n\r\n$/);
    expect((await curl(url("/chunked/a.txt"))).status).toBe(200);
  });

  test("nginx sees the client's request: method, target, Host, address", async () => {
    const response = await curl("-X", "OPTIONS", "-H", "Host: shop.example", url("/echo/a%20b?c=d"));
    expect(response.text).toBe("OPTIONS /echo/a%20b?c=d shop.example 127.0.0.1");
  });

  test("an upload with Expect: 100-continue, as curl does by itself over 1 MiB", async () => {
    const response = await curl(
      "-X",
      "POST",
      "-H",
      "Expect: 100-continue",
      "--data-binary",
      "@/proc/self/exe",
      url("/echo"),
    );
    expect(response.status).toBe(200);
    expect(response.text).toStartWith("POST /echo");
  });

  test("a chunked upload from a pipe", async () => {
    const child = Bun.spawn(["sh", "-c", `head -c 3000000 /dev/zero | ${curlPath} -sS -T - -X POST ${url("/echo")}`], {
      stdout: "pipe",
      stderr: "inherit",
      stdin: "ignore",
    });
    expect(await new Response(child.stdout).text()).toStartWith("POST /echo");
  });

  test("HTTP/1.0 from curl", async () => {
    expect(await curl("--http1.0", url("/a.txt"))).toMatchObject({ status: 200, text: "alphabet\n" });
  });

  test("an absolute-form request through Lintel as a proxy is routed by its host", async () => {
    const response = await curl("-x", gateway.url(), "http://some.example/echo");
    expect(response.text).toStartWith("GET /echo some.example");
  });

  test("curl's HTTP/2 with prior knowledge is served as HTTP/2 (RFC 9113 §3.3)", async () => {
    const response = await curl("--http2-prior-knowledge", url("/a.txt"));
    expect(response).toMatchObject({ exitCode: 0, status: 200, text: "alphabet\n" });
    expect(response.heads).toStartWith("HTTP/2 200");
  });

  test("a hundred pipelined requests come back in order", async () => {
    using client = await RawClient.connect(gateway.port);
    client.send(Array.from({ length: 100 }, (_, i) => get(`/echo/${i}`)).join(""));
    for (let i = 0; i < 100; i++) expect((await client.response()).text).toContain(`/echo/${i} `);
  });
});
