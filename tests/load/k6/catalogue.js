// Prints a catalogue for load tests, as `souk import products - --create-shops` reads it: 20 shops with 50 products each, whose
// stock does not run out, and one product on sale with few pieces. usage: node catalogue.js [STOCK]
const header = [
  'Handle', 'Title', 'Body (HTML)', 'Vendor', 'Product Category', 'Tags', 'Published', 'Variant SKU', 'Variant Inventory Qty',
  'Variant Price', 'Status',
];
const words = ['linen shirt', 'clay teapot', 'trail shoe', 'oak table', 'wool blanket', 'canvas bag', 'ceramic bowl', 'desk lamp'];
const rows = [header];
for (let shop = 0; shop < 20; shop++) {
  for (let p = 0; p < 50; p++) {
    const n = shop * 50 + p;
    rows.push([
      `load-${n}`, `${words[n % words.length]} ${n}`, '', `Load Shop ${shop}`, 'Goods', '', 'true', `LOAD-${n}`, '900000',
      `${5 + (n % 90)}.90`, 'active',
    ]);
  }
}
const stock = String(Number(process.argv[2] ?? 2000));
rows.push(['flash', 'On sale today', '', 'Load Flash', 'Goods', '', 'true', 'LOAD-FLASH', stock, '9.90', 'active']);
console.log(rows.map((row) => row.join(',')).join('\n'));
