import { createSouk, formatMoney, SoukError, type components } from "@souk/client";

type Address = components["schemas"]["ShippingAddressInput"];

export async function buy(baseUrl: string, token: string, query: string, shippingAddress: Address): Promise<string> {
  const souk = createSouk({ baseUrl, token });
  const { products } = await souk.GET("/v1/products", { params: { query: { query, inStock: true } } });
  const variantId = products[0]?.variants[0]?.id;
  if (!variantId) return "not found";
  await souk.POST("/v1/cart/items", { body: { variantId, quantity: 1 } });
  try {
    const payment = { method: "card", token: "tok_ok" } as const;
    const { order } = await souk.POST("/v1/checkout", { body: { shippingAddress, payment } });
    return `${order.number}: ${formatMoney(order.total, "pt-BR")}`;
  } catch (e) {
    if (e instanceof SoukError && e.code === "out_of_stock") return "sold out";
    throw e;
  }
}
