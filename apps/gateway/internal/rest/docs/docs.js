// Reads /openapi.json and shows each operation with a form to try it. Text from the contract or an
// answer is set as text, never as markup.
"use strict";

const el = (tag, props = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children);
  return node;
};

const resolve = (doc, schema) => {
  while (schema && schema.$ref) {
    schema = schema.$ref.split("/").slice(1).reduce((at, key) => at[key.replace(/~1/g, "/").replace(/~0/g, "~")], doc);
  }
  return schema || {};
};

// example returns a value with the shape of a schema.
const example = (doc, schema, depth = 0) => {
  schema = resolve(doc, schema);
  if (schema.example !== undefined) return schema.example;
  if (schema.enum) return schema.enum[0];
  if (schema.allOf) return example(doc, schema.allOf[0], depth);
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  if (type === "array") return depth > 5 ? [] : [example(doc, schema.items, depth + 1)];
  if (type === "object" || schema.properties) {
    const out = {};
    if (depth > 5) return out;
    for (const [name, p] of Object.entries(schema.properties || {})) out[name] = example(doc, p, depth + 1);
    return out;
  }
  return { boolean: false, integer: 0, number: 0 }[type] ?? "";
};

const tryIt = (doc, verb, path, op) => {
  const form = el("form");
  const params = (op.parameters || []).map((p) => resolve(doc, p));
  const inputs = new Map();
  if (params.length) {
    const rows = params.map((p) => {
      const input = el("input", { required: Boolean(p.required), placeholder: resolve(doc, p.schema).type || "" });
      if (p.name === "Idempotency-Key") input.value = crypto.randomUUID();
      inputs.set(p, input);
      return el("tr", {}, el("td", { textContent: `${p.name} (${p.in})` }), el("td", {}, input), el("td", { textContent: p.description || "" }));
    });
    form.append(el("table", {}, ...rows));
  }
  const content = op.requestBody && resolve(doc, op.requestBody).content;
  let body;
  if (content && content["application/json"]) {
    const sample = JSON.stringify(example(doc, content["application/json"].schema), null, 2);
    body = el("textarea", { rows: Math.min(20, sample.split("\n").length + 1), value: sample });
    form.append(el("p", { textContent: "Body" }), body);
  }
  const out = el("pre", { hidden: true });
  form.append(el("button", { textContent: "Send" }), out);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    let url = path;
    const query = new URLSearchParams();
    const headers = {};
    for (const [p, input] of inputs) {
      if (p.in === "path") url = url.replace(`{${p.name}}`, encodeURIComponent(input.value));
      else if (input.value !== "" && p.in === "query") query.append(p.name, input.value);
      else if (input.value !== "" && p.in === "header") headers[p.name] = input.value;
    }
    const token = document.getElementById("token").value.trim();
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body) headers["Content-Type"] = "application/json";
    out.hidden = false;
    out.textContent = "…";
    try {
      const res = await fetch(url + (query.size ? `?${query}` : ""), { method: verb.toUpperCase(), headers, body: body && body.value });
      const text = await res.text();
      let shown = text;
      try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: shown unchanged */ }
      const kept = ["etag", "retry-after", "idempotent-replayed", "location", "x-request-id"].filter((h) => res.headers.get(h)).map((h) => `${h}: ${res.headers.get(h)}`);
      out.textContent = [`${res.status} ${res.statusText}`, ...kept, "", shown].join("\n");
    } catch (err) {
      out.textContent = String(err);
    }
  });
  return form;
};

const show = async () => {
  const main = document.getElementById("operations");
  const doc = await (await fetch("/openapi.json")).json();
  document.getElementById("version").textContent = doc.info.version || "";
  document.getElementById("about").textContent = doc.info.description || "";
  const groups = new Map();
  for (const [path, item] of Object.entries(doc.paths)) {
    for (const [verb, op] of Object.entries(item)) {
      if (!["get", "post", "put", "patch", "delete"].includes(verb)) continue;
      const tag = (op.tags && op.tags[0]) || "other";
      if (!groups.has(tag)) groups.set(tag, []);
      const summary = el("summary", {}, el("span", { className: "verb", textContent: verb.toUpperCase() }), el("code", { textContent: path }),
        el("span", { className: "note", textContent: op.summary || "" }));
      const details = el("details", {}, summary);
      details.dataset.text = `${verb} ${path} ${op.summary || ""} ${op.description || ""}`.toLowerCase();
      details.addEventListener("toggle", () => {
        if (details.open && details.childElementCount === 1) {
          details.append(el("p", { textContent: op.description || "" }), tryIt(doc, verb, path, op));
        }
      });
      groups.get(tag).push(details);
    }
  }
  main.replaceChildren(...[...groups].flatMap(([tag, list]) => [el("h2", { textContent: tag }), ...list]));
  document.getElementById("find").addEventListener("input", (event) => {
    const want = event.target.value.toLowerCase();
    for (const d of main.querySelectorAll("details")) d.hidden = !d.dataset.text.includes(want);
  });
};

show().catch((err) => { document.getElementById("operations").textContent = `The contract could not be read: ${err}`; });
