// What customers do, as the scenarios put it together.
import { fail, sleep } from 'k6';
import exec from 'k6/execution';
import { get, key, post } from './api.js';

/** @typedef {import('../../../../gen/ts/src/schema.js').components['schemas']} Schemas */

/**
 * What the scenarios buy and look at.
 * @typedef {{products: string[], variants: string[], words: string[], categories: string[]}} Catalogue
 */

const pages = Number(__ENV.PAGES || 5);

/**
 * Reads products that can be bought. Scripts do so once, in setup.
 * @returns {Catalogue}
 */
export function readCatalogue() {
  /** @type {Catalogue} */
  const catalogue = { products: [], variants: [], words: [], categories: [] };
  let pageToken = '';
  for (let page = 0; page < pages; page++) {
    const list = get('/v1/products', {}, { inStock: true, pageSize: 100, ...(pageToken ? { pageToken } : {}) });
    for (const product of list?.products ?? []) {
      // A cart has one currency.
      const variant = product.variants.find((v) => v.price.currencyCode === (__ENV.CURRENCY || 'BRL'));
      if (!variant) continue;
      catalogue.products.push(product.id);
      catalogue.variants.push(variant.id);
      catalogue.words.push(...product.title.split(' ').filter((word) => word.length > 3).slice(0, 1));
    }
    pageToken = list?.nextPageToken ?? '';
    if (!pageToken) break;
  }
  catalogue.categories.push(...(get('/v1/categories', {}, {})?.categories ?? []).map((category) => category.id));
  if (catalogue.variants.length < 10) fail(`only ${catalogue.variants.length} variants can be bought: import a catalogue`);
  return catalogue;
}

/**
 * @template T
 * @param {T[]} of
 * @returns {T}
 */
export function pick(of) {
  const one = of[Math.floor(Math.random() * of.length)];
  return one === undefined ? fail('there is nothing to pick from') : one;
}

/** Waits as a customer does, from half of it to one and a half. @param {number} seconds */
export function think(seconds) {
  sleep(seconds * (0.5 + Math.random()) * Number(__ENV.THINK || 1));
}

/** Looks around: the first page, a search, a product and its reviews. @param {Catalogue} catalogue */
export function browse(catalogue) {
  get('/v1/products', {}, { pageSize: 20 });
  think(1);
  get('/v1/products', {}, { query: pick(catalogue.words), pageSize: 20, inStock: true });
  if (catalogue.categories.length > 0) {
    think(1);
    get('/v1/products', {}, { categoryId: pick(catalogue.categories), pageSize: 20 });
  }
  think(1);
  const id = pick(catalogue.products);
  get('/v1/products/{id}', { id }, {});
  get('/v1/products/{productId}/reviews', { productId: id }, { pageSize: 5 });
}

/** @returns {NonNullable<Schemas['CheckoutRequest']['shippingAddress']>} */
function address() {
  return {
    name: 'Ana Souza',
    line1: 'Rua das Flores 12',
    city: 'São Paulo',
    region: 'SP',
    postalCode: '01001-000',
    countryCode: 'BR',
  };
}

/**
 * A guest buys pieces of variants: cart, quote, checkout at the price of the quote, and the order. It returns the order's
 * ID, or null if it was refused with one of the expected statuses.
 * @param {string[]} variants
 * @param {number[]} [refusals] statuses of a checkout that are no errors
 */
export function purchase(variants, refusals = []) {
  const guest = post('/v1/guest', {}, {});
  if (!guest) return null;
  const { token } = guest;
  for (const variantId of variants) {
    post('/v1/cart/items', {}, { variantId, quantity: 1 }, { token, expected: [200, ...refusals] });
    think(1);
  }
  get('/v1/cart', {}, {}, { token });
  const email = `k6-${exec.vu.idInTest}-${key()}@example.com`;
  const request = { email, shippingAddress: address() };
  const quote = post('/v1/cart:quote', {}, request, { token, expected: [200, ...refusals] });
  think(2);
  if (!quote) return null;
  const bought = post(
    '/v1/checkout',
    {},
    { ...request, payment: { method: 'card', token: 'tok_ok' }, expectedTotal: quote.total },
    { token, headers: { 'Idempotency-Key': key() }, expected: [201, ...refusals] },
  );
  const id = bought?.order?.id;
  if (!id) return null;
  get('/v1/orders/{id}', { id }, {}, { token });
  return id;
}

/** The plan's objectives. @type {Record<string, import('k6/options').Threshold[]>} */
export const objectives = {
  http_req_duration: ['p(95)<200', 'p(99)<500'],
  http_req_failed: ['rate<0.001'],
  checks: ['rate>0.999'],
};
