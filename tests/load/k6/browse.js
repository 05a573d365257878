// Customers who only look around arrive at a steady rate: they don't wait for each other, so that a slow souk is not
// asked less.
//
//   k6 run -e SOUK_URL=… browse.js
//   RATE: visits a second, 50; MINUTES: 10
import { browse, objectives, readCatalogue } from './lib/shop.js';

const rate = Number(__ENV.RATE || 50);

/** @type {import('k6/options').Options} */
export const options = {
  scenarios: {
    browse: {
      executor: 'constant-arrival-rate',
      rate,
      timeUnit: '1s',
      duration: `${__ENV.MINUTES || 10}m`,
      preAllocatedVUs: rate * 5,
      maxVUs: rate * 20,
    },
  },
  thresholds: { ...objectives, dropped_iterations: ['count==0'] },
};

export const setup = readCatalogue;

/** @param {import('./lib/shop.js').Catalogue} catalogue */
export default function visit(catalogue) {
  browse(catalogue);
}
