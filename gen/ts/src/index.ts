/** A typed client of souk's REST API. */
export { createSouk } from "./client.js";
export type { Api, Call, Data, Init, ListPath, PathsWith, Souk, SoukOptions } from "./client.js";
export { SoukError, UNEXPECTED } from "./error.js";
export type { FieldProblem, Problem } from "./error.js";
export { formatMoney } from "./money.js";
export type { Money } from "./money.js";
export type { Fetch, RetryOptions } from "./retry.js";
export type { components, operations, paths } from "./schema.js";
