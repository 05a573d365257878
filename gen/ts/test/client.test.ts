// The client against a running souk dev. `make client-test` runs it.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createSouk, formatMoney, SoukError, type Souk } from "@souk/client";
import { buy } from "./example.js";
import { start, type Running } from "./souk.js";

const shop = "client-shop";
const shippingAddress = {
  name: "Ana",
  line1: "Rua das Flores 1",
  city: "Fortaleza",
  region: "CE",
  postalCode: "60000-000",
  countryCode: "BR",
};
const payment = { method: "card", token: "tok_ok" } as const;
const email = "guest@example.com";

let souk: Running;
let seller: Souk;

before(async () => {
  souk = await start();
  seller = createSouk({ baseUrl: souk.url, token: await souk.token("seller@example.com", "--role", "seller", "--shop", shop) });
}, { timeout: 180_000 });

after(() => souk?.stop(), { timeout: 60_000 });

async function sell(title: string, amount: string, onHand: number): Promise<string> {
  const product = await seller.POST("/v1/shops/{shopId}/products", {
    params: { path: { shopId: shop } },
    body: {
      title,
      variants: [{ sku: title.toUpperCase().replaceAll(" ", "-"), price: { currencyCode: "BRL", amount }, onHand }],
    },
  });
  const variant = product.variants[0];
  assert.ok(variant);
  return variant.id;
}

async function guest(): Promise<Souk> {
  const { token } = await createSouk({ baseUrl: souk.url }).POST("/v1/guest", { body: {} });
  return createSouk({ baseUrl: souk.url, token: async () => token });
}

async function refusal(call: Promise<unknown>): Promise<SoukError> {
  try {
    await call;
  } catch (error) {
    assert.ok(error instanceof SoukError, String(error));
    return error;
  }
  assert.fail("the call succeeded");
}

test("a guest browses, quotes with a voucher, checks out and reads the order", async () => {
  const variantId = await sell("Blue lamp", "50.00", 5);
  await seller.POST("/v1/shops/{shopId}/vouchers", {
    params: { path: { shopId: shop } },
    body: { code: "TEN", title: "10 % off", kind: "percent", percent: "10" },
  });
  const ana = await guest();

  const found = await ana.GET("/v1/products", { params: { query: { query: "blue lamp" } } });
  assert.equal(found.products[0]?.variants[0]?.id, variantId);
  const cart = await ana.POST("/v1/cart/items", { body: { variantId, quantity: 2 } });
  assert.equal(cart.items[0]?.quantity, "2");
  const quote = await ana.POST("/v1/cart:quote", { body: { voucherCodes: ["TEN", "NONE"] } });
  assert.equal(quote.discount.amount, "10.00");
  assert.deepEqual(quote.rejectedVouchers.map((v) => [v.code, v.reason]), [["NONE", "unknown"]]);

  const { order } = await ana.POST("/v1/checkout", {
    body: { email, shippingAddress, payment, voucherCodes: ["TEN"], expectedTotal: quote.total },
  });
  assert.equal(order.status, "confirmed");
  assert.deepEqual(order.total, quote.total);
  const read = await ana.GET("/v1/orders/{id}", { params: { path: { id: order.id } } });
  assert.equal(read.number, order.number);
  assert.equal(read.discount.amount, "10.00");
});

test("the example of the README buys", async () => {
  await sell("Green chair", "12.50", 5);
  const token = await souk.token("ana@example.com");
  assert.match(await buy(souk.url, token, "green chair", shippingAddress), /^[0-9A-Z-]+: R\$.12,50$/);
  assert.equal(await buy(souk.url, token, "nothing of this name", shippingAddress), "not found");
});

test("a problem is a SoukError with its fields", async () => {
  const ana = await guest();
  const wrong = await refusal(ana.POST("/v1/cart/items", { body: { variantId: "var_x", quantity: 0 } }));
  assert.equal(wrong.code, "invalid_argument");
  assert.equal(wrong.status, 400);
  assert.deepEqual(wrong.fields.map((f) => f.field), ["quantity"]);
  assert.match(wrong.traceId ?? "", /^[0-9a-f]{32}$/);
  assert.equal(wrong.retryAfter, undefined);

  const anonymous = createSouk({ baseUrl: souk.url });
  assert.equal((await refusal(anonymous.GET("/v1/cart"))).code, "unauthenticated");

  const variantId = await sell("Last vase", "20.00", 1);
  await ana.POST("/v1/cart/items", { body: { variantId, quantity: 1 } });
  const price = { currencyCode: "BRL", amount: "1.00" };
  const changed = await refusal(
    ana.POST("/v1/checkout", { body: { email, shippingAddress, payment, expectedTotal: price } }),
  );
  assert.equal(changed.code, "price_changed");
  assert.equal(changed.problem?.quote?.subtotal.amount, "20.00");
});

test("a checkout whose answer is lost is sent again with the same key and places one order", async () => {
  const variantId = await sell("Red bowl", "9.99", 5);
  const { token } = await createSouk({ baseUrl: souk.url }).POST("/v1/guest", { body: {} });
  const keys: (string | null)[] = [];
  const lossy = createSouk({
    baseUrl: souk.url,
    token,
    fetch: async (request, init) => {
      const response = await fetch(request, init);
      if (!request.url.endsWith("/v1/checkout")) return response;
      keys.push(request.headers.get("Idempotency-Key"));
      if (keys.length > 1) return response;
      await response.arrayBuffer();
      throw new TypeError("connection lost");
    },
  });
  await lossy.POST("/v1/cart/items", { body: { variantId, quantity: 1 } });
  const { data, response } = await lossy.raw.POST("/v1/checkout", { body: { email, shippingAddress, payment } });

  assert.equal(keys.length, 2);
  assert.ok(keys[0]);
  assert.equal(keys[1], keys[0]);
  assert.equal(response.headers.get("Idempotent-Replayed"), "true");
  const { orders } = await lossy.GET("/v1/orders");
  assert.deepEqual(orders.map((o) => o.id), [data?.order.id]);
});

test("pages reads a list to its end", async () => {
  for (const n of [1, 2, 3]) await sell(`Paged plate ${n}`, "5.00", 1);
  const titles: string[] = [];
  let pages = 0;
  const query = { query: "paged plate", pageSize: 2 };
  for await (const page of seller.pages("/v1/products", { params: { query } })) {
    pages++;
    titles.push(...page.products.map((p) => p.title));
  }
  assert.equal(pages, 2);
  assert.deepEqual(titles.sort(), ["Paged plate 1", "Paged plate 2", "Paged plate 3"]);
});

test("amounts are written as a locale does", () => {
  assert.equal(formatMoney({ currencyCode: "BRL", amount: "1234567890123456.78" }, "pt-BR"), "R$\u00a01.234.567.890.123.456,78");
  assert.equal(formatMoney({ currencyCode: "JPY", amount: "500" }, "en"), "¥500");
});
