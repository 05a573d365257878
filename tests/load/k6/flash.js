// A flash sale: everybody wants one product, and there are fewer pieces than customers. Those who are late get 409
// (out of stock), which is no error. No more orders than pieces: a threshold, and `souk verify` afterwards.
//
//   k6 run -e SOUK_URL=… -e SHOP=load-flash -e PRODUCT=flash -e STOCK=2000 flash.js
//   RATE: customers a second at the peak, 100
import { fail } from 'k6';
import { Counter } from 'k6/metrics';
import { get } from './lib/api.js';
import { objectives, purchase } from './lib/shop.js';

const rate = Number(__ENV.RATE || 100);
const stock = Number(__ENV.STOCK || 2000);
const orders = new Counter('orders');
const refused = new Counter('refused');

/** @type {import('k6/options').Options} */
export const options = {
  scenarios: {
    flash: {
      executor: 'ramping-arrival-rate',
      startRate: 1,
      timeUnit: '1s',
      preAllocatedVUs: rate * 5,
      maxVUs: rate * 20,
      stages: [
        { duration: '10s', target: rate },
        { duration: '60s', target: rate },
        { duration: '10s', target: 1 },
      ],
    },
  },
  thresholds: {
    ...objectives,
    'http_req_duration{name:/v1/checkout}': ['p(99)<1000'],
    orders: ['count>0', `count<=${stock}`],
  },
};

export function setup() {
  const product = get(
    '/v1/products/by-handle/{shop}/{handle}',
    { shop: __ENV.SHOP || 'load-flash', handle: __ENV.PRODUCT || 'flash' },
    {},
  );
  const variant = product?.variants[0]?.id;
  return { variant: variant ?? fail('there is no product on sale: import tests/load/k6/catalogue.js') };
}

/** @param {{variant: string}} sale */
export default function buy({ variant }) {
  if (purchase([variant], [409])) orders.add(1);
  else refused.add(1);
}
