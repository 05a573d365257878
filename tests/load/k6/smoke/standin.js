// Stands in for k6's modules in smoke.sh, which runs the scripts with Node.js: requests by curl, without load. It knows
// what the scripts use, and nothing else.
import { execFileSync } from 'node:child_process';
import { randomBytes as random } from 'node:crypto';

export const requests = { sent: 0, /** @type {string[]} */ failed: [] };

/** @param {string} method @param {string} url @param {string | null} body @param {any} params */
function send(method, url, body, params) {
  const headers = Object.entries(params.headers).flatMap(([k, v]) => ['-H', `${k}: ${v}`]);
  const data = body === null ? [] : ['--data-binary', '@-'];
  const args = ['-sS', '-X', method, '-w', '\n%{http_code}', ...headers, ...data, url];
  const out = execFileSync('curl', args, { input: body ?? '', encoding: 'utf8' });
  const at = out.lastIndexOf('\n');
  const status = Number(out.slice(at + 1));
  requests.sent++;
  if (!params.responseCallback.includes(status)) requests.failed.push(`${method} ${url}: ${status} ${out.slice(0, 300)}`);
  return { status, json: () => JSON.parse(out.slice(0, at)) };
}

export default {
  /** @param {string} url @param {any} params */
  get: (url, params) => send('GET', url, null, params),
  /** @param {string} url @param {string} body @param {any} params */
  post: (url, body, params) => send('POST', url, body, params),
  /** @param {...number} statuses */
  expectedStatuses: (...statuses) => statuses,
  vu: { idInTest: 1 },
};

/** @param {any} value @param {Record<string, (v: any) => boolean>} rules */
export function check(value, rules) {
  return Object.values(rules).every((rule) => rule(value));
}
/** @param {string} message @returns {never} */
export function fail(message) {
  throw new Error(message);
}
export function sleep() {}
/** @param {number} n */
export const randomBytes = (n) => random(n).buffer.slice(0, n);

export class Counter {
  /** @type {Record<string, number>} */
  static all = {};
  /** @param {string} name */
  constructor(name) {
    this.name = name;
    Counter.all[name] = 0;
  }
  /** @param {number} n */
  add(n) {
    Counter.all[this.name] = (Counter.all[this.name] ?? 0) + n;
  }
}
