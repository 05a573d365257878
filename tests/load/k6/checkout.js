// The plan's checkout: users look around and buy, from 100 to 200 at the same time. P95 under 200 ms, P99 under 500 ms,
// errors under 0.1 %.
//
//   k6 run -e SOUK_URL=https://staging.shop.example checkout.js
//   PEAK: users at the peak, 200; MINUTES: length of each level, 5; THINK: factor of the time between requests, 1
import { Counter } from 'k6/metrics';
import { browse, objectives, pick, purchase, readCatalogue, think } from './lib/shop.js';

const peak = Number(__ENV.PEAK || 200);
const minutes = Number(__ENV.MINUTES || 5);
const orders = new Counter('orders');

/** @type {import('k6/options').Options} */
export const options = {
  scenarios: {
    checkout: {
      executor: 'ramping-vus',
      stages: [
        { duration: '2m', target: peak / 2 },
        { duration: `${minutes}m`, target: peak / 2 },
        { duration: '2m', target: peak },
        { duration: `${minutes}m`, target: peak },
        { duration: '1m', target: 0 },
      ],
      gracefulRampDown: '30s',
    },
  },
  thresholds: { ...objectives, 'http_req_duration{name:/v1/checkout}': ['p(95)<200', 'p(99)<500'], orders: ['count>0'] },
};

export const setup = readCatalogue;

/** @param {import('./lib/shop.js').Catalogue} catalogue */
export default function checkout(catalogue) {
  browse(catalogue);
  think(1);
  if (purchase([pick(catalogue.variants), pick(catalogue.variants)])) orders.add(1);
  think(2);
}
