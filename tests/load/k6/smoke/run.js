// Runs some iterations of each script with the stand-in. usage: node run.js SCRIPT... ; environment: SOUK_URL
import { register } from 'node:module';

const standin = new URL('standin.js', import.meta.url).href;
const hooks = `export async function resolve(name, context, next) {
  return /^k6($|\\/)/.test(name) ? { url: ${JSON.stringify(standin)}, shortCircuit: true } : next(name, context);
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
globalThis.__ENV = process.env;
const { Counter, requests } = await import(standin);

// What five customers come to. flash.js has three pieces to sell.
const wanted = { 'checkout.js': { orders: 5 }, 'flash.js': { orders: 3, refused: 2 } };
let wrong = 0;
for (const script of process.argv.slice(2)) {
  Counter.all = {};
  const module = await import(new URL(`../${script}`, import.meta.url).href);
  const data = module.setup();
  const names = Object.values(module.options.scenarios).map((scenario) => scenario.exec ?? 'default');
  for (const name of names) for (let i = 0; i < 5; i++) module[name](data);
  const got = JSON.stringify(Counter.all);
  console.log(`${script}: ${names.join(', ')}, ${got}`);
  if (wanted[script] && got !== JSON.stringify(wanted[script])) {
    wrong++;
    console.error(`${script}: want ${JSON.stringify(wanted[script])}`);
  }
}
for (const failed of requests.failed) console.error(failed);
console.log(`${requests.sent} requests, ${requests.failed.length} with an unexpected status`);
process.exit(wrong + requests.failed.length > 0 ? 1 : 0);
