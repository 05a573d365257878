// Checks infra/terraform without a provider, an account or a network. usage: node check.js REPOSITORY
//
// 1. Every aws_* block has only arguments and blocks that the provider knows, and all that it requires. The schema is the
//    one in the type declarations of the npm package @cdktf/provider-aws.
// 2. Every var., local., module., data. and resource that is referred to exists; so does the attribute of a resource.
// 3. Every call of a module gives what the module requires, and nothing that it does not know. Nothing is unused.
// 4. Variables have a type and a description, and outputs a description.
// 5. What stores something is encrypted, and no block has a password.
// 6. The roots give each service of the registry that has a database exactly one instance.
//
// Not checked: values, which only the provider, plan and apply know.
const fs = require('fs');
const path = require('path');
const { parse } = require('@cdktf/hcl2json');

const repository = process.argv[2];
const root = path.join(repository, 'infra/terraform');
const lib = path.join(path.dirname(require.resolve('@cdktf/provider-aws/package.json')), 'lib');

const meta = new Set(['count', 'for_each', 'provider', 'depends_on', 'lifecycle', 'dynamic', 'timeouts']);
const secret = /^(password|master_password|secret_string|secret_binary|auth_token|private_key)$/;
const encrypted = {
  aws_db_instance: { storage_encrypted: true, kms_key_id: null, publicly_accessible: false },
  aws_elasticache_replication_group: { at_rest_encryption_enabled: true, transit_encryption_enabled: true, kms_key_id: null },
  aws_cloudwatch_log_group: { kms_key_id: null, retention_in_days: null },
  aws_sns_topic: { kms_master_key_id: null },
  aws_secretsmanager_secret: { kms_key_id: null },
  aws_eks_cluster: { encryption_config: null },
  aws_kms_key: { enable_key_rotation: true },
  aws_db_instance_automated_backups_replication: { kms_key_id: null },
};

let mistakes = 0;
const counts = { modules: 0, blocks: 0, arguments: 0, references: 0, calls: 0 };
function mistake(where, what) {
  mistakes++;
  console.error(`${where}: ${what}`);
}

const camel = (s) => s.replace(/_([a-z0-9])/g, (_, c) => c.toUpperCase());
const list = (v) => (v === undefined ? [] : Array.isArray(v) ? v : [v]);

// schema returns what the provider knows of a resource or data source: its interfaces, the main one, and its attributes.
const schemas = new Map();
function schema(type, data) {
  const file = path.join(lib, (data ? 'data-aws-' : '') + type.slice('aws_'.length).replace(/_/g, '-'));
  if (schemas.has(file)) return schemas.get(file);
  let found = null;
  if (fs.existsSync(file)) {
    const interfaces = {};
    const attributes = new Set();
    let main;
    for (const name of ['index.d.ts', 'index-structs/structs0.d.ts', 'index-structs/structs400.d.ts']) {
      if (!fs.existsSync(path.join(file, name))) continue;
      let current = null;
      for (const line of fs.readFileSync(path.join(file, name), 'utf8').split('\n')) {
        const begin = /^export interface (\w+)( extends cdktf\.TerraformMetaArguments)?/.exec(line);
        const property = /^    readonly (\w+)(\??): (.*?);?$/.exec(line);
        const getter = /^    get (\w+)\(\)/.exec(line);
        if (begin) {
          current = interfaces[begin[1]] = {};
          if (begin[2]) main = begin[1];
        } else if (/^}/.test(line)) current = null;
        else if (current && property) current[property[1]] = { required: !property[2], type: property[3] };
        else if (getter) attributes.add(getter[1]);
      }
    }
    found = { interfaces, main, attributes };
  }
  schemas.set(file, found);
  return found;
}

function checkBlock(where, s, name, body) {
  const known = s.interfaces[name];
  if (!known) return;
  const given = { ...body };
  for (const [block, dynamics] of Object.entries(body.dynamic || {})) {
    given[block] = list(dynamics).flatMap((d) => list(d.content));
  }
  for (const [argument, value] of Object.entries(given)) {
    if (meta.has(argument)) continue;
    counts.arguments++;
    const property = known[camel(argument)];
    if (!property) {
      mistake(where, `there is no argument "${argument}"`);
      continue;
    }
    const nested = (property.type.match(/\w+/g) || []).find((word) => s.interfaces[word]);
    if (!nested) continue;
    for (const inner of list(value)) {
      if (inner && typeof inner === 'object') checkBlock(`${where}.${argument}`, s, nested, inner);
    }
  }
  for (const [argument, property] of Object.entries(known)) {
    if (property.required && !Object.keys(given).some((k) => camel(k) === argument)) {
      mistake(where, `"${argument}" is required`);
    }
  }
}

function checkRules(where, type, body) {
  for (const argument of Object.keys(body)) {
    if (secret.test(argument)) mistake(where, `"${argument}" would be in the state`);
  }
  for (const [argument, value] of Object.entries(encrypted[type] || {})) {
    if (body[argument] === undefined || (value !== null && body[argument] !== value)) {
      mistake(where, `"${argument}" is not ${value === null ? 'set' : value}`);
    }
  }
}

// expressions yields the expressions in a value: what stands between ${ and }.
function* expressions(value) {
  if (typeof value === 'string') {
    for (let at = value.indexOf('${'); at >= 0; at = value.indexOf('${', at + 1)) {
      let depth = 0;
      for (let end = at + 1; end < value.length; end++) {
        if (value[end] === '{') depth++;
        else if (value[end] === '}' && --depth === 0) {
          yield value.slice(at + 2, end);
          break;
        }
      }
    }
  } else if (Array.isArray(value)) {
    for (const v of value) yield* expressions(v);
  } else if (value && typeof value === 'object') {
    for (const [k, v] of Object.entries(value)) {
      yield* expressions(k);
      yield* expressions(v);
    }
  }
}

async function read(dir) {
  const m = { dir, variable: {}, output: {}, module: {}, resource: {}, data: {}, locals: {}, everything: [] };
  for (const name of fs.readdirSync(dir).filter((n) => n.endsWith('.tf')).sort()) {
    const file = path.join(dir, name);
    const doc = await parse(name, fs.readFileSync(file, 'utf8'));
    m.everything.push(doc);
    for (const kind of ['variable', 'output', 'module']) {
      for (const [key, bodies] of Object.entries(doc[kind] || {})) m[kind][key] = bodies[0];
    }
    for (const kind of ['resource', 'data']) {
      for (const [type, byName] of Object.entries(doc[kind] || {})) {
        for (const [key, bodies] of Object.entries(byName)) m[kind][`${type}.${key}`] = bodies[0];
      }
    }
    for (const locals of doc.locals || []) Object.assign(m.locals, locals);
  }
  return m;
}

function checkModule(m, modules) {
  const where = path.relative(repository, m.dir);
  counts.modules++;
  for (const [name, body] of Object.entries(m.variable)) {
    if (!body.type || !body.description) mistake(where, `variable "${name}" has no type or no description`);
  }
  for (const [name, body] of Object.entries(m.output)) {
    if (!body.description) mistake(where, `output "${name}" has no description`);
  }
  for (const kind of ['resource', 'data']) {
    for (const [address, body] of Object.entries(m[kind])) {
      const type = address.split('.')[0];
      if (!type.startsWith('aws_')) continue;
      counts.blocks++;
      const s = schema(type, kind === 'data');
      if (!s) {
        mistake(where, `${type} is no ${kind} of the provider`);
        continue;
      }
      checkBlock(`${where}: ${address}`, s, s.main, body);
      if (kind === 'resource') checkRules(`${where}: ${address}`, type, body);
    }
  }
  const called = {};
  for (const [name, body] of Object.entries(m.module)) {
    counts.calls++;
    const target = modules.get(path.join(m.dir, body.source));
    if (!target) {
      mistake(where, `module "${name}": there is no module ${body.source}`);
      continue;
    }
    called[name] = target;
    for (const argument of Object.keys(body)) {
      if (['source', 'providers', 'for_each', 'count', 'depends_on'].includes(argument)) continue;
      if (!target.variable[argument]) mistake(where, `module "${name}": ${body.source} has no variable "${argument}"`);
    }
    for (const [variable, declared] of Object.entries(target.variable)) {
      if (!('default' in declared) && !(variable in body)) mistake(where, `module "${name}": "${variable}" is missing`);
    }
  }
  checkReferences(where, m, called);
}

function checkReferences(where, m, called) {
  const used = { var: new Set(), local: new Set() };
  for (const e of expressions(m.everything)) {
    for (const [, before, kind, name] of e.matchAll(/(^|[^\w.])(var|local)\.(\w+)/g)) {
      counts.references++;
      used[kind].add(name);
      const declared = kind === 'var' ? m.variable : m.locals;
      if (!declared[name]) if (!(name in declared)) mistake(where, `${kind}.${name} does not exist`);
    }
    for (const [, , name, , output] of e.matchAll(/(^|[^\w.])module\.(\w+)(\[[^\]]*\])?\.(\w+)/g)) {
      counts.references++;
      if (!m.module[name]) mistake(where, `module.${name} does not exist`);
      else if (called[name] && !called[name].output[output]) mistake(where, `module.${name}.${output} is no output`);
    }
    for (const [, , data, type, name, , attribute] of e.matchAll(
      /(^|[^\w.])(data\.)?(aws_\w+|random_\w+)\.(\w+)(\[[^\]]*\])?(?:\.(\w+))?/g,
    )) {
      if (!data && !m.resource[`${type}.${name}`] && !/_\w+/.test(type)) continue;
      counts.references++;
      const kind = data ? 'data' : 'resource';
      if (!m[kind][`${type}.${name}`]) mistake(where, `${data || ''}${type}.${name} does not exist`);
      else if (attribute && type.startsWith('aws_')) {
        const s = schema(type, kind === 'data');
        const known = s && (s.attributes.has(camel(attribute)) || s.interfaces[s.main]?.[camel(attribute)]);
        if (s && !known) mistake(where, `${data || ''}${type}.${name} has no attribute "${attribute}"`);
      }
    }
  }
  for (const name of Object.keys(m.variable)) {
    if (!used.var.has(name)) mistake(where, `variable "${name}" is unused`);
  }
  for (const name of Object.keys(m.locals)) {
    if (!used.local.has(name)) mistake(where, `local.${name} is unused`);
  }
}

// checkServices compares the groups of a root with the registry.
function checkServices(m) {
  const where = path.relative(repository, m.dir);
  const registry = fs.readFileSync(path.join(repository, 'gen/go/souk/services/services.go'), 'utf8');
  const want = [...registry.matchAll(/Name: "(\w+)", Database: true/g)].map((s) => s[1]).sort();
  const got = Object.values(m.locals.groups || {}).flat().sort();
  if (want.length === 0) mistake(where, 'the registry has no service with a database');
  if (want.join() !== got.join()) mistake(where, `the groups have ${got}, and the registry ${want}`);
  return got.length;
}

async function main() {
  const dirs = fs
    .readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((e) => e.isFile() && e.name.endsWith('.tf') && !e.parentPath.includes('.terraform'))
    .map((e) => e.parentPath);
  const modules = new Map();
  for (const dir of new Set(dirs)) modules.set(dir, await read(dir));
  for (const m of modules.values()) checkModule(m, modules);
  const services = ['staging', 'production'].map((name) => checkServices(modules.get(path.join(root, name))));

  const called = new Set();
  for (const m of modules.values()) for (const b of Object.values(m.module)) called.add(path.join(m.dir, b.source));
  for (const dir of modules.keys()) {
    const name = path.relative(root, dir);
    if (!called.has(dir) && !['staging', 'production', 'state'].includes(name)) mistake(name, 'nothing uses this module');
  }
  const { version } = JSON.parse(fs.readFileSync(path.join(lib, '../package.json'), 'utf8'));
  console.log(
    `terraform: ${counts.modules} modules, ${counts.blocks} aws blocks with ${counts.arguments} arguments against ` +
      `@cdktf/provider-aws ${version}, ${counts.references} references, ${counts.calls} module calls, ` +
      `${services[0]} services with a database: ${mistakes} mistakes`,
  );
  process.exit(mistakes > 0 ? 1 : 0);
}

main();
