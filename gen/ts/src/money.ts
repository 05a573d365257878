import type { components } from "./schema.js";

/** An amount with its currency. `amount` is a decimal string with the currency's digits. */
export type Money = components["schemas"]["Money"];

/** Writes an amount as people of a locale do, such as "R$ 53,98" for "pt-BR". No digit is lost. */
export function formatMoney(money: Money, locale?: string): string {
  const digits = money.amount.split(".")[1]?.length ?? 0;
  const format = new Intl.NumberFormat(locale, {
    style: "currency",
    currency: money.currencyCode,
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
  return format.format(money.amount as Intl.StringNumericLiteral);
}
