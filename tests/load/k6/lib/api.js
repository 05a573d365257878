// Requests to souk's REST API. Paths, queries, bodies and answers have the types of gen/ts/src/schema.ts, which is
// generated from the OpenAPI document: tests/load/check.sh refuses a path or a field that the document does not have.
import { check } from 'k6';
import { randomBytes } from 'k6/crypto';
import http from 'k6/http';

/** @typedef {import('../../../../gen/ts/src/schema.js').paths} Paths */

/** The address of souk, without a slash at its end. */
export const base = __ENV.SOUK_URL || 'http://127.0.0.1:8080';

/**
 * What the body of an answer has.
 * @template O
 * @typedef {O extends {responses: {200: {content: {'application/json': infer B}}}} ? B
 *   : O extends {responses: {201: {content: {'application/json': infer B}}}} ? B : never} Answer
 */

/**
 * @template O
 * @typedef {O extends {requestBody: {content: {'application/json': infer B}}} ? B : never} Body
 */

/**
 * @template O
 * @typedef {O extends {parameters: {query?: infer Q}} ? [NonNullable<Q>] extends [never] ? Record<string, never>
 *   : NonNullable<Q> : never} Query
 */

/**
 * The names in braces of a path.
 * @template {string} P
 * @typedef {P extends `${string}{${infer N}}${infer R}` ? N | Names<R> : never} Names
 */

/**
 * @typedef {object} Options
 * @property {string} [token] the caller's bearer token
 * @property {Record<string, string>} [headers]
 * @property {number[]} [expected] the statuses that are no errors; 200 and 201 if it is missing
 */

/**
 * Fills the names of a path. Its metrics have the tag `name`: the path as the document has it, so that there are few.
 * @template {keyof Paths} P
 * @param {P} path
 * @param {Record<Names<P>, string>} names
 * @param {Options} options
 */
function prepare(path, names, options) {
  /** @type {Record<string, string>} */
  const values = names;
  /** @type {Record<string, string>} */
  const headers = { Accept: 'application/json', ...options.headers };
  if (options.token) headers.Authorization = `Bearer ${options.token}`;
  return {
    url: base + path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(values[name] ?? '')),
    params: {
      headers,
      tags: { name: path },
      responseCallback: http.expectedStatuses(...(options.expected ?? [200, 201])),
    },
  };
}

/**
 * @param {import('k6/http').RefinedResponse<any>} response
 * @param {string} name
 * @param {Options} options
 */
function judge(response, name, options) {
  const expected = options.expected ?? [200, 201];
  check(response, { [`${name}: expected status`]: (r) => expected.includes(r.status) });
  return response.status === 200 || response.status === 201;
}

/**
 * Gets a resource. It returns null unless the status is 200.
 * @template {{[P in keyof Paths]: Paths[P] extends {get: {responses: unknown}} ? P : never}[keyof Paths]} P
 * @param {P} path
 * @param {Record<Names<P>, string>} names
 * @param {Query<Paths[P]['get']>} query
 * @param {Options} [options]
 * @returns {Answer<Paths[P]['get']> | null}
 */
export function get(path, names, query, options = {}) {
  const { url, params } = prepare(path, names, options);
  const pairs = Object.entries(query).map(([k, v]) => `${encodeURIComponent(k)}=${encodeURIComponent(String(v))}`);
  const response = http.get(pairs.length > 0 ? `${url}?${pairs.join('&')}` : url, params);
  return judge(response, `GET ${path}`, options) ? /** @type {any} */ (response.json()) : null;
}

/**
 * Posts a body. It returns null unless the status is 200 or 201.
 * @template {{[P in keyof Paths]: Paths[P] extends {post: {responses: unknown}} ? P : never}[keyof Paths]} P
 * @param {P} path
 * @param {Record<Names<P>, string>} names
 * @param {Body<Paths[P]['post']>} body
 * @param {Options} [options]
 * @returns {Answer<Paths[P]['post']> | null}
 */
export function post(path, names, body, options = {}) {
  const headers = { 'Content-Type': 'application/json', ...options.headers };
  const { url, params } = prepare(path, names, { ...options, headers });
  const response = http.post(url, JSON.stringify(body), params);
  return judge(response, `POST ${path}`, options) ? /** @type {any} */ (response.json()) : null;
}

/** A key that no other request has: answers are kept encrypted under it. */
export function key() {
  return Array.from(new Uint8Array(randomBytes(16)), (b) => b.toString(16).padStart(2, '0')).join('');
}
