// What is sent again, against answers that a test writes.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { createSouk, SoukError, UNEXPECTED, type RetryOptions, type Souk } from "@souk/client";

const body = { items: [] };

/** Answers each request with the next answer. An error is thrown. */
function scripted(answers: (Response | Error)[], options: RetryOptions = {}): { souk: Souk; sent: Request[] } {
  const sent: Request[] = [];
  const souk = createSouk({
    baseUrl: "http://souk.test",
    ...options,
    fetch: async (request) => {
      sent.push(request);
      const next = answers.shift();
      assert.ok(next, "one request too many");
      if (next instanceof Error) throw next;
      return next;
    },
  });
  return { souk, sent };
}

function problem(status: number, code: string, after?: string): Response {
  const text = JSON.stringify({ type: "", title: "t", status, detail: "d", code });
  const headers = { "Content-Type": "application/problem+json", ...(after && { "Retry-After": after }) };
  return new Response(text, { status, headers });
}

test("a GET is sent again after 503, 429 and a lost connection", async () => {
  const { souk, sent } = scripted([
    problem(503, "unavailable", "0"),
    problem(429, "rate_limited", "0"),
    new TypeError("connection lost"),
    Response.json(body),
  ]);
  assert.deepEqual(await souk.GET("/v1/cart"), body);
  assert.equal(sent.length, 4);
});

test("retries end, and the last answer is the error", async () => {
  const { souk, sent } = scripted([problem(503, "overloaded", "0"), problem(503, "overloaded", "0")], { retries: 1 });
  await assert.rejects(souk.GET("/v1/cart"), { name: "SoukError", code: "overloaded", status: 503, retryAfter: 0 });
  assert.equal(sent.length, 2);
});

test("a POST without a key and a PATCH are never sent again", async () => {
  const post = scripted([problem(503, "unavailable", "0")]);
  await assert.rejects(post.souk.POST("/v1/cart/items", { body: { variantId: "v", quantity: 1 } }), SoukError);
  const lost = scripted([new TypeError("connection lost")]);
  await assert.rejects(lost.souk.POST("/v1/cart:quote", { body: {} }), TypeError);
  const patch = scripted([problem(429, "rate_limited", "0")]);
  await assert.rejects(patch.souk.PATCH("/v1/me", { body: { name: "Ana" } }), SoukError);
  for (const { sent } of [post, lost, patch]) {
    assert.equal(sent.length, 1);
    assert.equal(sent[0]?.headers.get("Idempotency-Key"), null);
  }
});

test("a POST with a key of the caller is sent again with its body", async () => {
  const { souk, sent } = scripted([problem(409, "idempotency_in_flight", "0"), Response.json(body)]);
  await souk.POST("/v1/cart/items", {
    params: { header: { "Idempotency-Key": "key-0001" } },
    body: { variantId: "v", quantity: 1 },
  });
  assert.equal(sent.length, 2);
  assert.equal(sent[1]?.headers.get("Idempotency-Key"), "key-0001");
  assert.deepEqual(await sent[1]?.json(), { variantId: "v", quantity: 1 });
});

test("a conflict is not sent again", async () => {
  const { souk, sent } = scripted([problem(409, "conflict")]);
  await assert.rejects(souk.DELETE("/v1/cart"), { code: "conflict" });
  assert.equal(sent.length, 1);
});

test("a Retry-After beyond maxWait is an error that says how long", async () => {
  const { souk, sent } = scripted([problem(429, "rate_limited", "3600")]);
  await assert.rejects(souk.GET("/v1/cart"), { code: "rate_limited", retryAfter: 3600 });
  assert.equal(sent.length, 1);
});

test("an aborted call does not wait for its retry", async () => {
  const { souk, sent } = scripted([problem(503, "unavailable", "9")]);
  const abort = new AbortController();
  const call = souk.GET("/v1/cart", { signal: abort.signal });
  const rejected = assert.rejects(call, /stop/);
  abort.abort(new Error("stop"));
  await rejected;
  assert.ok(sent.length <= 1);
});

test("an answer that takes too long is a timeout", async () => {
  const souk = createSouk({
    baseUrl: "http://souk.test",
    retries: 0,
    timeout: 10,
    fetch: (_, init) => new Promise((_, reject) => init?.signal?.addEventListener("abort", () => reject(init.signal?.reason))),
  });
  const alive = setTimeout(() => {}, 10_000); // the timer of AbortSignal.timeout does not keep Node.js running
  await assert.rejects(souk.GET("/v1/cart"), { name: "TimeoutError" });
  clearTimeout(alive);
});

test("an answer that is not souk's is a SoukError, too", async () => {
  const page = new Response("<h1>Bad Gateway</h1>", { status: 502, statusText: "Bad Gateway" });
  await assert.rejects(scripted([page]).souk.GET("/v1/cart"), { code: UNEXPECTED, status: 502, title: "Bad Gateway" });
  const cut = new Response('{"code":', { status: 500, headers: { "Content-Type": "application/problem+json" } });
  await assert.rejects(scripted([cut]).souk.GET("/v1/cart"), { code: UNEXPECTED, status: 500 });
});

test("the README shows the tested example", async () => {
  const example = await readFile("test/example.ts", "utf8");
  assert.ok((await readFile("README.md", "utf8")).includes("```ts\n" + example + "```\n"));
});
