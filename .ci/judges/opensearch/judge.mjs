// Judges what deploy/siem/opensearch asks of plug-ins that no test server has, the policy and the role, by the types of
// OpenSearch's own client. (The other files are run by a real OpenSearch, in sink/elastic_siem_test.go.)
//
//     node judge.mjs DIR MODULES
//
// DIR is deploy/siem/opensearch, MODULES where @opensearch-project/opensearch and typescript are installed. The client leaves
// the conditions of a policy and the names of permissions open: for these the lists below, of
// https://docs.opensearch.org/latest/im-plugin/ism/policies/ and https://docs.opensearch.org/latest/security/access-control/permissions/.
// In the same run, copies broken on purpose must be refused, each for its own fault.
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";

const [dir, modules] = process.argv.slice(2).map((p) => path.resolve(p));
const ts = createRequire(path.join(modules, "x"))("typescript");
const bodies = {
  "ism-policy.json": ["ism/putPolicy", "Ism_PutPolicy_Request"],
  "role.json": ["security/createRole", "Security_CreateRole_Request"],
};
const conditions = ["min_index_age", "min_rollover_age", "min_doc_count", "min_size", "cron"];
const permissions = [
  "cluster:monitor/main", "indices:admin/index_template/get", "indices:admin/auto_create", "indices:admin/create", "indices:admin/data_stream/get",
  "indices:admin/get", "indices:data/write/bulk", "indices:data/write/bulk*", "indices:data/write/index",
];

// typeFaults compiles each text as a literal of its request's type: a name that the type lacks is an error.
function typeFaults(texts) {
  const sources = new Map();
  texts.forEach(([file, text], i) => {
    const [module, type] = bodies[file];
    sources.set(path.join(modules, `judged-${i}.ts`),
      `import type { ${type} as R } from "@opensearch-project/opensearch/api/${module}";\nexport const body: NonNullable<R["body"]> = ${text};\n`);
  });
  const options = { strict: true, noEmit: true, skipLibCheck: true, types: [], module: ts.ModuleKind.CommonJS, moduleResolution: ts.ModuleResolutionKind.Node10 };
  const host = ts.createCompilerHost(options), { readFile, fileExists, getSourceFile } = host;
  host.fileExists = (f) => sources.has(f) || fileExists.call(host, f);
  host.readFile = (f) => sources.get(f) ?? readFile.call(host, f);
  host.getSourceFile = (f, ...rest) => (sources.has(f) ? ts.createSourceFile(f, sources.get(f), rest[0]) : getSourceFile.call(host, f, ...rest));
  const program = ts.createProgram([...sources.keys()], options, host);
  const out = texts.map(() => []);
  for (const d of ts.getPreEmitDiagnostics(program)) {
    const i = [...sources.keys()].indexOf(d.file?.fileName);
    (out[i] ?? out[0]).push(ts.flattenDiagnosticMessageText(d.messageText, " "));
  }
  return out;
}

// openFaults judges what the types leave open.
function openFaults(file, doc) {
  const out = [];
  if (file === "ism-policy.json") {
    const p = doc.policy ?? {}, states = new Set((p.states ?? []).map((s) => s.name));
    if (!states.has(p.default_state)) out.push(`no state ${p.default_state}`);
    for (const s of p.states ?? []) {
      for (const a of s.actions ?? []) if (Object.keys(a).filter((k) => !["retry", "timeout"].includes(k)).length !== 1) out.push(`${s.name}: not one action at a time`);
      for (const t of s.transitions ?? []) {
        if (!states.has(t.state_name)) out.push(`no state ${t.state_name}`);
        for (const c of Object.keys(t.conditions ?? {})) if (!conditions.includes(c)) out.push(`unknown condition ${c}`);
      }
    }
    if (!p.ism_template?.length) out.push("is for no data stream");
  }
  if (file === "role.json")
    for (const p of [doc.cluster_permissions, ...(doc.index_permissions ?? []).map((i) => i.allowed_actions)].flat())
      if (!permissions.includes(p)) out.push(`unknown permission ${p}`);
  return out;
}

function judge(texts) {
  return typeFaults(texts).map((faults, i) => {
    if (faults.length) return faults;
    return openFaults(texts[i][0], JSON.parse(texts[i][1]));
  });
}

// A file, what is replaced, by what, and a word of the fault.
const broken = [
  ["ism-policy.json", `"min_index_age"`, `"min_index_agee"`, "min_index_agee"], ["ism-policy.json", `"default_state": "hot"`, `"default_state": "warm"`, "warm"],
  ["ism-policy.json", `"state_name": "delete"`, `"state_name": "gone"`, "gone"], ["ism-policy.json", `"transitions": [`, `"transition": [`, "transition"],
  ["ism-policy.json", `"min_rollover_age"`, `"rollover_age"`, "rollover_age"], ["ism-policy.json", `"delete": {}`, `"remove": {}`, "remove"],
  ["ism-policy.json", `"priority": 100`, `"priority": "100"`, "number"], ["ism-policy.json", `"policy"`, `"polcy"`, "polcy"],
  ["role.json", `"index_permissions"`, `"indices_permissions"`, "indices_permissions"], ["role.json", `"allowed_actions": [`, `"allowed_actions": 1, "x": [`, "number"],
  ["role.json", `"indices:data/write/index"`, `"indices:data/writes/index"`, "writes"],
];

const files = Object.keys(bodies), text = Object.fromEntries(files.map((f) => [f, fs.readFileSync(path.join(dir, f), "utf8")]));
const all = judge([...files.map((f) => [f, text[f]]), ...broken.map(([f, from, to]) => [f, text[f].replace(from, to)])]);
const found = files.flatMap((f, i) => all[i].map((m) => `${f}: ${m}`));
broken.forEach(([f, from, to, about], i) => {
  const faults = all[files.length + i];
  if (!text[f].includes(from) || !faults.some((m) => m.includes(about))) found.push(`${f} with ${to} is judged so: ${faults.join("; ") || "good"}`);
});
found.forEach((l) => console.log(l));
console.log(`opensearch: ${files.length} files, ${found.length} faults; ${broken.length} broken examples tried`);
process.exit(found.length ? 1 : 0);
