// Nunjucks on the same templates and data: nunjucks_peer.js DATA BENCH OUT SECONDS.
'use strict';
const fs = require('fs');
const nunjucks = require('nunjucks');

const [data, bench, out] = process.argv.slice(2, 5);
const seconds = Number(process.argv[5]);
const entries = { badge: 'badge.svg', chart: 'chart.svg', table: 'table.html', page: 'page.html' };
const now = () => Number(process.hrtime.bigint()) / 1e9;

const environment = () => new nunjucks.Environment(
  new nunjucks.FileSystemLoader(bench + '/jinja'), { autoescape: true });

// The best of many short runs: what the machine does besides only ever adds.
function measure(f) {
  const stop = now() + seconds;
  let best = 1e9;
  let n = 1;
  for (;;) {
    const from = now();
    for (let i = 0; i < n; i++) f(i);
    const spent = now() - from;
    if (spent < 0.01) n *= 2;
    else best = Math.min(best, spent / n);
    if (now() > stop) return best * 1e6;
  }
}

const result = {};
const env = environment();
for (const [name, entry] of Object.entries(entries)) {
  const contexts = JSON.parse(fs.readFileSync(`${data}/${name}.json`, 'utf8'));
  fs.writeFileSync(`${out}/${name}.nunjucks`, env.render(entry, contexts[0]));
  result[name] = measure((i) => env.render(entry, contexts[(i + 1) % 8]));
  result[name + '_first'] = measure(() => environment().render(entry, contexts[0]));
}
console.log(JSON.stringify({ Nunjucks: result }));
