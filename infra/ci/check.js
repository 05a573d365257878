// Checks the workflows for what actionlint does not. usage: node check.js REPOSITORY
//
// 1. Each action is pinned by a commit, with its version as a comment, and the same everywhere; a local one exists.
// 2. A workflow has no permissions by itself (permissions: {}), and each job says its own.
// 3. Each job has a timeout.
// 4. No expression stands in a script: values come by the environment, so that no text from outside is run.
// 5. Each make target and script that is called exists, and so does the program of each `go run ./…`.
// 6. No key of AWS: only roles by OpenID Connect.
// 7. BURN_QUERY of deploy.yaml uses recording rules of infra/observability.
const fs = require('fs');
const path = require('path');

const root = process.argv[2];
const workflows = path.join(root, '.github/workflows');
const files = fs.readdirSync(workflows).map((name) => path.join(workflows, name));
const actions = path.join(root, '.github/actions');
for (const name of fs.existsSync(actions) ? fs.readdirSync(actions) : []) files.push(path.join(actions, name, 'action.yaml'));

let mistakes = 0;
const counts = { uses: 0, jobs: 0, runs: 0, targets: 0, scripts: 0 };
const pins = new Map();
const targets = new Set(
  [...fs.readFileSync(path.join(root, 'Makefile'), 'utf8').matchAll(/^([a-z-]+):(?!=)/gm)].map((m) => m[1]),
);

for (const file of files) {
  const name = path.relative(root, file);
  const text = fs.readFileSync(file, 'utf8');
  const lines = text.split('\n');
  const say = (n, what) => {
    mistakes++;
    console.error(`${name}:${n + 1}: ${what}`);
  };

  lines.forEach((line, n) => {
    const uses = /^\s*(?:- )?uses: (\S+)(?: # (\S+))?\s*$/.exec(line);
    if (uses) {
      counts.uses++;
      const [, action, version] = uses;
      if (action.startsWith('./')) {
        const at = path.join(root, action);
        if (!fs.existsSync(at) && !fs.existsSync(path.join(at, 'action.yaml'))) say(n, `${action} does not exist`);
      } else if (!/^[\w.-]+\/[\w./-]+@[0-9a-f]{40}$/.test(action) || !/^v\d+\.\d+\.\d+$/.test(version || '')) {
        say(n, `${action} is not pinned by a commit with its version (@40 hex digits # v1.2.3)`);
      } else {
        const [repository, commit] = action.split('@');
        const owner = repository.split('/').slice(0, 2).join('/');
        const pin = `${commit} # ${version}`;
        if ((pins.get(owner) ?? pin) !== pin) say(n, `${owner} has another pin elsewhere`);
        pins.set(owner, pin);
      }
    } else if (/^\s*(?:- )?uses:/.test(line)) say(n, 'this line is not understood');
    if (/aws-access-key-id|AWS_SECRET_ACCESS_KEY/i.test(line)) say(n, 'a key of AWS');
  });

  // Scripts: the rest of the line, or what is indented below it.
  lines.forEach((line, n) => {
    const run = /^(\s*)(?:- )?(?:run|command): (.*)$/.exec(line);
    if (!run) return;
    counts.runs++;
    let script = run[2];
    const indent = run[1].length + (line.trim().startsWith('- ') ? 2 : 0);
    if (/^[|>]/.test(script)) {
      script = '';
      for (let i = n + 1; i < lines.length && (/^\s*$/.test(lines[i]) || lines[i].search(/\S/) > indent); i++) {
        script += `${lines[i]}\n`;
      }
    }
    if (script.includes('${{') && !run[2].startsWith('${{ matrix.')) say(n, 'an expression in a script: pass it by env');
    for (const [, target] of script.matchAll(/(?:^|[\s;&])make ([a-z-]+)/g)) {
      counts.targets++;
      if (!targets.has(target)) say(n, `make has no target "${target}"`);
    }
    for (const [called] of script.matchAll(/(?:infra|tools|tests|\.ci|\.github)\/[\w./-]+\.(?:sh|js|yaml)\b/g)) {
      counts.scripts++;
      const at = path.join(root, called);
      if (!fs.existsSync(at)) say(n, `${called} does not exist`);
      else if (called.endsWith('.sh') && fs.existsSync(at) && !(fs.statSync(at).mode & 0o100)) say(n, `${called} is not executable`);
    }
    for (const [, called] of script.matchAll(/go run (\.\/[\w/-]+)/g)) {
      counts.scripts++;
      if (!fs.existsSync(path.join(root, called))) say(n, `${called} does not exist`);
    }
  });

  if (!name.startsWith('.github/workflows')) continue;
  if (!/^permissions: \{\}$/m.test(text)) say(0, 'there is no "permissions: {}" at the top');
  if (!/^concurrency:/m.test(text) && !/^on:\n {2}workflow_call:/m.test(text)) say(0, 'there is no concurrency group');
  const jobs = text.slice(text.search(/^jobs:$/m)).split(/^ {2}(?=[\w-]+:$)/m).slice(1);
  for (const job of jobs) {
    counts.jobs++;
    const id = job.slice(0, job.indexOf(':'));
    if (!/^ {4}permissions:/m.test(job)) say(0, `job ${id} does not say its permissions`);
    if (!/^ {4}(timeout-minutes|uses):/m.test(job)) say(0, `job ${id} has no timeout`);
  }
}

const query = /^ {2}BURN_QUERY: (.*)$/m.exec(fs.readFileSync(path.join(workflows, 'deploy.yaml'), 'utf8'))?.[1] ?? '';
const rules = fs.readFileSync(path.join(root, 'infra/observability/prometheus/rules/slo.yaml'), 'utf8');
const series = query.match(/slo:\w+:\w+/g) ?? [];
for (const name of series) {
  if (!rules.includes(`record: ${name}\n`)) {
    mistakes++;
    console.error(`.github/workflows/deploy.yaml: BURN_QUERY: no rule records ${name}`);
  }
}
if (series.length === 0) {
  mistakes++;
  console.error('.github/workflows/deploy.yaml: BURN_QUERY has no recorded series');
}

console.log(
  `workflows: ${files.length} files, ${counts.jobs} jobs, ${counts.uses} uses of ${pins.size} actions, ${counts.runs} scripts ` +
    `with ${counts.targets} make targets and ${counts.scripts} files: ${mistakes} mistakes`,
);
process.exit(mistakes > 0 ? 1 : 0);
