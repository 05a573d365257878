// A storefront as its author would write it, against the client that openapi-typescript generates. It is compiled in strict
// mode, never run: if a schema says less than the API promises, such as a missing `required`, this file does not compile.
import createClient from "openapi-fetch";
import type { components, paths } from "@souk/client";

type Schemas = components["schemas"];
type Product = Schemas["Product"];
type Order = Schemas["Order"];

const api = createClient<paths>({ baseUrl: "http://127.0.0.1:8080" });

function money(m: Schemas["Money"]): string {
  return `${m.currencyCode} ${Number(m.amount).toFixed(2)}`;
}

function fail(problem: Schemas["Problem"]): never {
  const fields = (problem.errors ?? []).map((e) => `${e.field} ${e.message}`);
  throw new Error([problem.code, problem.title, problem.detail, ...fields].join(": "));
}

// A page of search results, with facets and a link to the next page.
export async function search(words: string, pageToken = ""): Promise<{ cards: string[]; next: string }> {
  const { data, error } = await api.GET("/v1/products", {
    params: { query: { query: words, inStock: true, sort: "price_asc", facets: true, pageSize: 20, pageToken } },
  });
  if (error) fail(error);
  const cards = data.products.map((p) => `${p.title} (${p.shopName}) ${p.price ? money(p.price) : ""} ${p.images[0]?.url ?? ""}`);
  for (const c of data.facets?.categories ?? []) cards.push(`${c.name}: ${Number(c.count)}`);
  return { cards, next: data.nextPageToken };
}

// The variant of a product that has an option, such as the size M.
function variant(product: Product, name: string, value: string): Schemas["Variant"] | undefined {
  return product.variants.find((v) => v.available && v.options[name] === value);
}

const statusText: Record<Order["status"], string> = {
  pending: "being checked",
  confirmed: "confirmed",
  shipped: "on its way",
  delivered: "delivered",
  cancelled: "cancelled",
  refunded: "refunded",
};

const methods: Schemas["PaymentInput"]["method"][] = ["card", "wallet", "bank_transfer", "cod"];

export async function purchase(productId: string): Promise<string> {
  const guest = await api.POST("/v1/guest", { body: {} });
  if (guest.error) fail(guest.error);
  const headers = { Authorization: `Bearer ${guest.data.token}` };
  console.log("guest until", new Date(guest.data.expiresAt).toISOString());

  const found = await api.GET("/v1/products/{id}", { params: { path: { id: productId } } });
  if (found.error) fail(found.error);
  const product = found.data;
  const chosen = variant(product, "Size", "M") ?? product.variants[0];
  if (!chosen) throw new Error(`${product.title} has no variants`);
  console.log(product.categoryPath.join(" / "), product.rating.average.toFixed(1), money(chosen.price));
  if (chosen.compareAtPrice) console.log("instead of", money(chosen.compareAtPrice));

  const added = await api.POST("/v1/cart/items", { headers, body: { variantId: chosen.id, quantity: 2 } });
  if (added.error) fail(added.error);
  await api.PATCH("/v1/cart/items/{variantId}", {
    headers,
    params: { path: { variantId: chosen.id } },
    body: { quantity: 1 },
  });
  for (const item of added.data.items) {
    console.log(item.quantity, item.title, item.lineTotal ? money(item.lineTotal) : "no longer for sale");
  }

  const method = methods[0] ?? "card";
  const placed = await api.POST("/v1/checkout", {
    headers,
    params: { header: { "Idempotency-Key": crypto.randomUUID() } },
    body: {
      email: "ana@example.com",
      shippingAddress: { name: "Ana", line1: "Rua das Flores 1", city: "Fortaleza", postalCode: "60000-000", countryCode: "BR" },
      payment: { method, token: "tok_ok" },
    },
  });
  if (placed.error) {
    if (placed.error.code === "out_of_stock") return "sold out";
    if (placed.response.status === 402) return "declined";
    fail(placed.error);
  }
  const order = placed.data.order;
  for (const part of order.shopOrders) {
    console.log(part.shopName, statusText[part.status], part.shippedAt ? new Date(part.shippedAt) : "not shipped yet");
    for (const item of part.items) console.log(item.quantity, item.title, money(item.unitPrice), money(item.lineTotal));
  }
  const { name, line2, phone } = order.shippingAddress;
  return [order.number, statusText[order.status], order.payment.status, money(order.total), name, line2, phone].join(" ");
}

// A customer's account. A change names only what changes.
export async function account(token: string): Promise<void> {
  const headers = { Authorization: `Bearer ${token}` };
  const me = await api.GET("/v1/me", { headers });
  if (me.error) fail(me.error);
  const { preferences, email, name } = me.data;
  console.log(name, email, preferences.locale, preferences.currencyCode);
  await api.PATCH("/v1/me", { headers, body: { preferences: { locale: "pt-BR" } } });
  let pageToken = "";
  do {
    const page = await api.GET("/v1/orders", { headers, params: { query: { pageToken } } });
    if (page.error) fail(page.error);
    page.data.orders.forEach((o) => console.log(o.number, statusText[o.status], o.placedAt));
    pageToken = page.data.nextPageToken;
  } while (pageToken);
}

// A seller's day: a price, the stock, a parcel.
export async function sell(token: string, shopId: string, productId: string): Promise<void> {
  const headers = { Authorization: `Bearer ${token}` };
  await api.PATCH("/v1/products/{id}", { headers, params: { path: { id: productId } }, body: { title: "Linen shirt" } });
  const list = await api.GET("/v1/shops/{shopId}/orders", { headers, params: { path: { shopId }, query: { status: "confirmed" } } });
  if (list.error) fail(list.error);
  for (const part of list.data.shopOrders) {
    const address = part.shippingAddress;
    if (address) console.log(address.name, address.countryCode);
    await api.POST("/v1/shop-orders/{id}:ship", {
      headers,
      params: { path: { id: part.id } },
      body: { carrier: "Correios", trackingNumber: "AA123456785BR" },
    });
  }
}

// What the types must refuse.
export async function mistakes(order: Order): Promise<void> {
  // @ts-expect-error there is no such status
  if (order.status === "shiped") return;
  // @ts-expect-error a checkout needs an address and a payment
  await api.POST("/v1/checkout", { params: { header: { "Idempotency-Key": "key-0001" } }, body: {} });
  // @ts-expect-error a checkout needs an Idempotency-Key
  await api.POST("/v1/checkout", { body: { shippingAddress: order.shippingAddress, payment: { method: "card" } } });
  // @ts-expect-error there is no such way to pay
  methods.push("shells");
}
