// Judges every piece of KQL in deploy/siem/sentinel by Microsoft's own language service, without network.
//
//     node kql.mjs deploy/siem/sentinel
//
// The table and the stream are those of the template, read from it. The transformation must keep to what a
// transformation may use, and give exactly the table's columns; the parser, fields of ASIM's Alert Event of the right
// type; a rule, each column that its entities, details and titles speak of. The queries of the README are judged too.
// In the same run, queries broken on purpose must be found, each by its own fault.
import fs from "node:fs";
import path from "node:path";
import { filters, misfits } from "./asim.mjs";
import { analyse, beyond, load } from "./language.mjs";

const folder = process.argv[2], t = load(folder);
const parser = "vimAlertEventSentinelOneS1stream";

// Identifiers of entities: "Microsoft Sentinel entity types reference".
const entities = {
  Account: "Name FullName NTDomain DnsDomain UPNSuffix Sid AadTenantId AadUserId PUID IsDomainJoined DisplayName ObjectGuid",
  Host: "DnsDomain NTDomain HostName FullName NetBiosName AzureID OMSAgentID OSFamily OSVersion IsDomainJoined",
  IP: "Address AddressScope", File: "Directory Name", FileHash: "Algorithm Value", Malware: "Name Category",
  Process: "ProcessId CommandLine ElevationToken CreationTimeUtc", URL: "Url",
};

function transformation(text) {
  const { faults, columns } = analyse(text, t.source);
  const out = [...faults, ...beyond(text, t.source)];
  for (const [name, type] of Object.entries(columns))
    if (t.columns[name] !== type) out.push(`gives ${name}:${type}, the table has ${name}:${t.columns[name]}`);
  return out.concat(Object.keys(t.columns).filter((name) => !(name in columns)).map((name) => `gives no ${name}, the table has it`));
}

const query = (text, lets = t.lets) => analyse(text, t.tables, lets).faults;

// fn calls a function by each of its parameters, so that a name or a type that is wrong is seen.
function fn(f, lets = t.lets) {
  const value = { datetime: "datetime(2026-01-01)", dynamic: 'dynamic(["x"])', bool: "false" };
  const args = (f.functionParameters ?? "").split(",").filter(Boolean).map((p) => p.match(/^(\w+):(\w+)=/)).map((m) => `${m[1]}=${value[m[2]]}`);
  return analyse(`${f.functionAlias}(${args.join(", ")})`, t.tables, lets);
}

function asim(f, lets = t.lets) {
  const { faults, columns } = fn(f, lets);
  const given = (f.functionParameters ?? "").split(",").map((p) => p.split("=")[0]);
  const out = [...faults, ...misfits(columns)];
  if (f.functionAlias === parser && given.join() !== filters.join()) out.push(`filters are ${given}`);
  return out;
}

const minutes = (duration) => {
  const m = duration.match(/^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?)?$/);
  return m && m.slice(1).reduce((sum, n, i) => sum + (+n || 0) * [1440, 60, 1][i], 0);
};

// rule: "Scheduled analytics rules in Microsoft Sentinel", and the 1 hour that a period of two days or more asks for.
function rule(r) {
  const { faults, columns } = analyse(r.query, t.tables, t.lets), out = [...faults];
  const speaksOf = (name, where) => name in columns || out.push(`${where}: the query gives no column ${name}`);
  if (r.query.length > 10000) out.push(`${r.query.length} characters, and 10000 are allowed`);
  if (/(search|union)\s+\*/.test(r.query)) out.push("search * and union * are not allowed");
  const every = minutes(r.queryFrequency), over = minutes(r.queryPeriod);
  if (!(every >= 5 && every <= over && over <= 14 * 1440)) out.push(`runs every ${r.queryFrequency} over ${r.queryPeriod}`);
  if (over >= 2 * 1440 && every < 60) out.push(`over ${r.queryPeriod} it can't run every ${r.queryFrequency}`);
  if (!r.entityMappings.length || r.entityMappings.length > 10) out.push(`${r.entityMappings.length} entities`);
  for (const e of r.entityMappings) {
    if (e.fieldMappings.length > 3) out.push(`${e.entityType}: more than 3 identifiers`);
    for (const f of e.fieldMappings) {
      if (!entities[e.entityType]?.split(" ").includes(f.identifier)) out.push(`${e.entityType} has no identifier ${f.identifier}`);
      speaksOf(f.columnName, e.entityType);
    }
  }
  const details = Object.entries(r.customDetails);
  if (details.length > 20) out.push("more than 20 custom details");
  for (const [key, column] of details) {
    if (!/^[A-Za-z0-9]{1,20}$/.test(key)) out.push(`custom detail ${key}: letters and digits, 20 at most`);
    speaksOf(column, "custom details");
  }
  const { alertDisplayNameFormat: title, alertDescriptionFormat: text, ...named } = r.alertDetailsOverride;
  for (const format of [title, text]) {
    const parts = [...format.matchAll(/\{\{(\w+)\}\}/g)].map((m) => m[1]);
    if (parts.length > 3) out.push(`more than 3 columns in ${format}`);
    parts.forEach((name) => speaksOf(name, format));
  }
  for (const [key, name] of Object.entries(named)) speaksOf(name, key);
  const grouping = r.incidentConfiguration.groupingConfiguration;
  for (const key of grouping.groupByCustomDetails) if (!(key in r.customDetails)) out.push(`groups by ${key}, which is no custom detail`);
  for (const type of grouping.groupByEntities) if (!r.entityMappings.some((e) => e.entityType === type)) out.push(`groups by ${type}, which is no entity`);
  if (grouping.matchingMethod === "Selected" && !grouping.groupByCustomDetails.length && !grouping.groupByEntities.length) out.push("groups by nothing");
  if (!r.tactics.length || !r.techniques.every((id) => /^T\d{4}$/.test(id))) out.push("tactics or techniques");
  return out;
}

// Blocks of KQL, and what is handed to az as one argument.
function readme() {
  const text = fs.readFileSync(path.join(folder, "README.md"), "utf8");
  const blocks = [...text.matchAll(/^```kql\n(.*?)^```/gms)].map((m) => m[1]);
  const inShell = [...text.matchAll(/--analytics-query[\s\\]+"([^"]*)"/g)].map((m) => m[1].replaceAll(/\$(from|to)/g, "2026-11-01T00:00:00Z"));
  return [...blocks, ...inShell];
}

function* goods() {
  yield ["the transformation", transformation(t.flow.transformKql)];
  for (const f of t.functions) yield [f.functionAlias, /AlertEvent/.test(f.functionAlias) ? asim(f) : fn(f).faults];
  for (const r of t.alerts) yield [r.displayName, rule(r)];
  for (const [i, q] of readme().entries()) yield [`README, query ${i + 1}`, query(q)];
}

// Copies with one fault each, and a word of what must be found.
function* broken() {
  const edit = (text, old, to) => {
    if (!text.includes(old)) throw new Error(`a broken example has nothing to break: ${old}`);
    return text.replace(old, to);
  };
  const flow = t.flow.transformKql;
  for (const [old, to, about] of [
    ["tostring(T.sha1)", "tostring(T.sha1", "KS"], ["| project\n", "| projekt\n", "KS"], ["todatetime(tostring(T.createdAt))", "tostring(T.createdAt)", "gives CreatedAt:string"],
    ["    Md5 = ", "    MD5 = ", "gives MD5"], ["    Sha1 = tostring(T.sha1),\n", "", "gives no Sha1"], ["tolower(tostring(T.classification))", "tolwer(tostring(T.classification))", "tolwer"],
    ["parse_json(Event)", "parse_json(Evnt)", "Evnt"], ["iif(isnull(Changed), TimeGenerated, Changed)", "coalesce(Changed, TimeGenerated)", "function coalesce"],
    ["| extend E =", "| mv-expand Event | extend E =", "MvExpandOperator"], ["source\n", "source | summarize arg_max(TimeGenerated, *) by ThreatId\n", "SummarizeOperator"],
    ['Class in ("pua", "pup")', 'Class in~ ("pua", "pup")', "InCsExpression|expression"], ["source\n", "SentinelOneThreats_CL\n", "KS"],
    ["source\n", "source\n" + "| where true\n".repeat(1200), "15360"],
  ]) yield [`transformation: ${to.slice(0, 60)}`, about, transformation(edit(flow, old, to))];

  const vim = t.functions.find((f) => f.functionAlias === parser);
  for (const [old, to, about] of [
    ["AgentComputerName has_any", "AgentComputer has_any", "AgentComputer"], ["EventCount = int(1)", "EventCount = 1", "EventCount:long"],
    ["    EventUid = ThreatId,\n", "", "EventUid is missing"], ["AlertVerdict,", "AlertVerdikt = AlertVerdict,", "no field"], ["not(disabled)", "not(disable)", "disable"],
    ["TimeGenerated >= starttime", 'TimeGenerated >= tostring("x")', "KS"],
  ]) yield [`parser: ${to}`, about, asim(vim, edit(t.lets, old, to))];
  yield ["parser: filters in another order", "filters are", asim({ ...vim, functionParameters: vim.functionParameters.replace(/(starttime[^,]*),(endtime[^,]*)/, "$2,$1") })];

  const [a, b] = t.alerts, change = (r, how) => { const copy = structuredClone(r); how(copy); return rule(copy); };
  for (const [name, about, faults] of [
    ["an unknown column", "KS142", change(a, (r) => (r.query += "\n| where Threat == 'x'"))], ["no such function", "KS", change(b, (r) => (r.query = r.query.replace("Latest()", "Newest()")))],
    ["a comparison of types", "KS", change(b, (r) => (r.query = r.query.replace("Agents >= computers", "Agents >= 'three'")))],
    ["an entity's column", "no column HostName", change(a, (r) => (r.entityMappings[0].fieldMappings[0].columnName = "HostName"))],
    ["an identifier", "no identifier Hostname", change(a, (r) => (r.entityMappings[0].fieldMappings[0].identifier = "Hostname"))],
    ["a title's column", "no column Threat", change(a, (r) => (r.alertDetailsOverride.alertDisplayNameFormat = "{{Threat}}"))],
    ["a severity column", "no column Sev", change(b, (r) => (r.alertDetailsOverride.alertSeverityColumnName = "Sev"))],
    ["a detail's column", "no column Sight", change(b, (r) => (r.customDetails.Sites = "Sight"))], ["a grouping", "groups by Id", change(a, (r) => (r.incidentConfiguration.groupingConfiguration.groupByCustomDetails = ["Id"]))],
    ["a period that is too long for the frequency", "can't run", change(a, (r) => (r.queryPeriod = "P2D"))], ["a period below the frequency", "over PT5M", change(a, (r) => (r.queryPeriod = "PT5M"))],
  ]) yield [`rule: ${name}`, about, faults];
  yield ["README: an unclosed text", "KS", query('SentinelOneThreats_CL | where ThreatId == "1')];
  yield ["README: an unknown table", "KS204", query("SentinelOneThreat_CL | count")];
}

let n = 0, found = 0, tried = 0, missed = 0;
for (const [name, faults] of goods()) {
  n++;
  found += faults.length;
  faults.forEach((f) => console.log(`${name}: ${f}`.slice(0, 300)));
}
for (const [name, about, faults] of broken()) {
  tried++;
  if (faults.some((f) => new RegExp(about).test(f))) continue;
  missed++;
  console.log(`a broken example passed, or failed for another reason: ${name}: ${faults}`.slice(0, 400));
}
const blocks = readme().length;
if (blocks < 4) console.log(`README.md has ${blocks} queries, and once had more`);
console.log(`kql: ${n} queries, ${found} faults; ${tried - missed} of ${tried} broken examples found`);
process.exit(found || missed || blocks < 4 ? 1 : 0);
