// Hours at a steady, moderate load: what grows (memory, connections, outboxes, latency) shows.
//
//   k6 run -e SOUK_URL=… soak.js
//   HOURS: 2; USERS: users who buy, 30; RATE: visits a second, 10
import { browse, objectives, pick, purchase, readCatalogue, think } from './lib/shop.js';

const duration = `${Math.round(Number(__ENV.HOURS || 2) * 60)}m`;
const rate = Number(__ENV.RATE || 10);

/** @type {import('k6/options').Options} */
export const options = {
  scenarios: {
    buyers: { executor: 'constant-vus', exec: 'buyer', vus: Number(__ENV.USERS || 30), duration },
    visitors: {
      executor: 'constant-arrival-rate',
      exec: 'visitor',
      rate,
      timeUnit: '1s',
      duration,
      preAllocatedVUs: rate * 10,
      maxVUs: rate * 40,
    },
  },
  thresholds: objectives,
};

export const setup = readCatalogue;

/** @param {import('./lib/shop.js').Catalogue} catalogue */
export function buyer(catalogue) {
  purchase([pick(catalogue.variants), pick(catalogue.variants)]);
  think(5);
}

/** @param {import('./lib/shop.js').Catalogue} catalogue */
export function visitor(catalogue) {
  browse(catalogue);
}
