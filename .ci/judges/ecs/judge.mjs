// Judges ECS documents without network, by the field table that Elastic publishes as @elastic/ecs.
//
//     node judge.mjs DIR [document.json ...]
//
// DIR is what `go test ./sink/format -run TestCorpus -args -corpus.dir=DIR` wrote. Each document must keep to the
// table (names, types, arrays, patterns, allowed values), to the types of sentinel_one.* in our own table, must be the
// one document of its threat, and must hold the threat's fields unchanged. In the same run, documents broken on
// purpose must be found, each by its own fault: a judge that approves of everything fails.
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { createRequire } from "node:module";
const { EcsFlat, EcsVersion } = createRequire(import.meta.url)("@elastic/ecs");

// What Elasticsearch takes for a type, whether the field is one value or a list.
const isText = (v) => typeof v === "string";
const isNumber = (v) => typeof v === "number";
const isObject = (v) => v !== null && typeof v === "object" && !Array.isArray(v);
const isDate = (v) =>
  isText(v) && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.test(v) && !isNaN(Date.parse(v));
const types = {
  keyword: isText, constant_keyword: isText, wildcard: isText, text: isText, match_only_text: isText,
  ip: (v) => isText(v) && net.isIP(v) > 0, date: isDate, boolean: (v) => typeof v === "boolean",
  // Larger ones are read whole by Elasticsearch, not by JavaScript.
  long: Number.isInteger, integer: Number.isInteger, short: Number.isInteger, unsigned_long: Number.isInteger,
  float: isNumber, double: isNumber, scaled_float: isNumber,
  geo_point: isObject, flattened: isObject, object: isObject, nested: isObject,
};

// The fields of our own, one "name type" a line: the names of Elastic's integration and some beside them.
const own = {};
for (const line of fs.readFileSync(new URL("../../../sink/format/testdata/sentinel_one_fields.txt", import.meta.url), "utf8").split("\n")) {
  const [name, type] = line.split(/\s+/);
  if (name && !name.startsWith("#")) own[name] = { type };
}
const fields = { ...EcsFlat, ...own };
const groups = new Set(); // "host", "host.os": names that must be objects
for (const name in fields) {
  const parts = name.split(".");
  for (let i = 1; i < parts.length; i++) groups.add(parts.slice(0, i).join("."));
}

function checkLeaf(name, value, err) {
  const f = fields[name];
  if (!f) return err(`${name}: not a field`);
  if (f.normalize?.includes("array") && !Array.isArray(value)) err(`${name}: must be an array`);
  for (const v of [value].flat()) {
    if (v === null || !types[f.type](v)) { err(`${name}: ${String(JSON.stringify(v)).slice(0, 100)} is not ${f.type}`); continue; }
    if (f.allowed_values && !f.allowed_values.some((a) => a.name === v)) err(`${name}: ${v} is not an allowed value`);
    if (f.expected_values && !f.expected_values.includes(v)) err(`${name}: ${v} is not an expected value`);
    if (f.pattern && !new RegExp(f.pattern).test(v)) err(`${name}: ${v} does not match ${f.pattern}`);
    if (f.type === "flattened") checkFlattened(name, v, err);
  }
}

// https://www.elastic.co/docs/reference/elasticsearch/mapping-reference/flattened: depth_limit is 20.
function checkFlattened(name, value, err, depth = 1) {
  if (depth > 20) return err(`${name}: nested too deep`);
  for (const [k, v] of Object.entries(value)) {
    if (k === "" || k.includes("\0")) err(`${name}: a key that is empty or has a zero in it`);
    if (isObject(v)) checkFlattened(name, v, err, depth + 1);
  }
}

function walk(obj, prefix, err) {
  for (const [key, value] of Object.entries(obj)) {
    const name = prefix ? `${prefix}.${key}` : key;
    const f = fields[name];
    const objects = [value].flat().every(isObject);
    if (f && !["object", "nested"].includes(f.type)) checkLeaf(name, value, err);
    else if (!f && !groups.has(name)) err(`${name}: not a field`);
    else if (!objects) err(`${name}: must be an object`);
    else for (const v of [value].flat()) walk(v, name, err);
  }
}

export function faults(doc) {
  const errors = new Set(), err = (m) => errors.add(m);
  walk(doc, "", err);
  if (!doc["@timestamp"]) err("@timestamp: missing");
  if (doc.ecs?.version !== EcsVersion) err(`ecs.version: must be ${EcsVersion}`);
  const categories = [doc.event?.category ?? []].flat();
  const expected = EcsFlat["event.category"].allowed_values
    .filter((a) => categories.includes(a.name)).flatMap((a) => a.expected_event_types ?? []);
  for (const t of [doc.event?.type ?? []].flat())
    if (!expected.includes(t)) err(`event.type: ${t} is not expected for category ${categories}`);
  return [...errors];
}

// Where bytes are no text, or half a pair, the number of replacement characters is anybody's choice.
const plain = (v) => (isText(v) ? (v.toWellFormed?.() ?? v).replace(/[\ud800-\udfff\ufffd]+/gu, "\ufffd") : v);
const look = (obj, at) => at.split(".").reduce((o, k) => (isObject(o) ? o[k] : undefined), obj);
const given = (threat, ...paths) => paths.map((p) => look(threat, p)).find((v) => isText(v) && v !== "");

// Text fields of a document and the threat's field that they hold, where that is a text; the first one given counts.
const T = "sentinel_one.threat.", I = "threatInfo.", R = "agentRealtimeInfo.", D = "agentDetectionInfo.", K = "kubernetesInfo.";
const texts = {
  "host.name": [R + "agentComputerName"], "host.id": [R + "agentId"], "host.domain": [R + "agentDomain"],
  "host.os.name": [R + "agentOsName"], "host.os.version": [R + "agentOsRevision"], "host.type": [R + "agentMachineType"],
  "observer.version": [R + "agentVersion"], "user.email": [D + "agentLastLoggedInUserMail"],
  "group.id": [R + "groupId"], "group.name": [R + "groupName"], "organization.id": [R + "accountId", D + "accountId"],
  "process.name": [I + "originatorProcess"], "process.command_line": [I + "maliciousProcessArguments"],
  "file.path": [I + "filePath"], "file.hash.md5": [I + "md5"], "file.hash.sha1": [I + "sha1"], "file.hash.sha256": [I + "sha256"],
  "threat.indicator.file.hash.sha1": [I + "sha1"], "rule.category": [I + "classification"],
  "file.code_signature.subject_name": [I + "publisherName"], "container.image.name": ["containerInfo.image"],
  "orchestrator.namespace": [K + "namespace"], "sentinel_one.account.name": [R + "accountName", D + "accountName"],
  "sentinel_one.site.id": [D + "siteId", R + "siteId"], "sentinel_one.site.name": [D + "siteName", R + "siteName"],
  "sentinel_one.threat_classification.name": [I + "classification"],
  [T + "name"]: [I + "threatName"], [T + "threat_id"]: [I + "threatId"], [T + "storyline"]: [I + "storyline"],
  [T + "confidence_level"]: [I + "confidenceLevel"], [T + "analysis.verdict"]: [I + "analystVerdict"],
  [T + "incident.status"]: [I + "incidentStatus"], [T + "mitigation.status"]: [I + "mitigationStatus"],
  [T + "malicious_process_arguments"]: [I + "maliciousProcessArguments"], [T + "process_user"]: [I + "processUser"],
  [T + "originator_process"]: [I + "originatorProcess"], [T + "collection.id"]: [I + "collectionId"],
  [T + "external_ticket.id"]: [I + "externalTicketId"], [T + "initiated.name"]: [I + "initiatedBy"],
  [T + "agent.uuid"]: [R + "agentUuid"], [T + "agent.network_status"]: [R + "agentNetworkStatus"],
  [T + "detection.agent.external_ip"]: [D + "externalIp"], [T + "detection.agent.uuid"]: [D + "agentUuid"],
  [T + "detection.agent.last_logged_in.upn"]: [D + "agentLastLoggedInUpn"],
  [T + "kubernetes.pod.name"]: [K + "pod"], [T + "kubernetes.node"]: [K + "node"], [T + "aws_ecs.task_arn"]: ["ecsInfo.taskArn"],
};
const flags = {
  [T + "failed_actions"]: I + "failedActions", [T + "is_fileless"]: I + "isFileless", [T + "agent.infected"]: R + "agentInfected",
  [T + "reboot_required"]: I + "rebootRequired", "file.code_signature.valid": I + "isValidCertificate",
};
const lists = { [T + "engines"]: I + "engines", [T + "whitening_option"]: "whiteningOptions", [T + "kubernetes.pod.labels"]: K + "podLabels" };

export function differences(threat, doc, identity) {
  const out = [];
  const same = (at, want) => {
    const got = plain(look(doc, at));
    if (JSON.stringify(got) !== JSON.stringify(want)) out.push(`${at}: ${JSON.stringify(got)?.slice(0, 80)}, the threat has ${JSON.stringify(want)?.slice(0, 80)}`);
  };
  same("event.id", plain(identity.id));
  same(T + "id", plain(identity.id));
  same(T + "version", identity.version);
  if (Date.parse(doc["@timestamp"]) !== identity.updatedAt) out.push("@timestamp: not updatedAt");
  for (const [at, from] of Object.entries(texts)) same(at, plain(given(threat, ...from)));
  for (const [at, from] of Object.entries(flags)) {
    const v = look(threat, from), got = look(doc, at);
    if (got !== (typeof v === "boolean" ? v : undefined)) out.push(`${at}: ${got}`);
  }
  for (const [at, from] of Object.entries(lists)) {
    const v = look(threat, from), got = look(doc, at) ?? [];
    const want = arr(v).filter((x) => isText(x) && x !== "");
    if (JSON.stringify(got.map(plain)) !== JSON.stringify(want.map(plain))) out.push(`${at}: not the threat's list`);
  }
  const names = new Set(), ids = new Set();
  for (const i of arr(threat.indicators)) for (const t of arr(i?.tactics)) {
    names.add(plain(t?.name));
    for (const q of arr(t?.techniques)) ids.add(plain(q?.name));
  }
  for (const [at, want] of [["threat.tactic.name", names], ["threat.technique.id", ids]]) {
    const list = [...want].filter((x) => isText(x) && x !== "");
    if (JSON.stringify((look(doc, at) ?? []).map(plain)) !== JSON.stringify(list)) out.push(`${at}: not the threat's`);
  }
  return out;
}
const arr = (v) => (Array.isArray(v) ? v : []);

// Copies of a good document with one fault each, and what the fault must be about.
function* broken(doc) {
  for (const [at, value, about] of [
    ["@timestamp", "yesterday", "@timestamp"], ["@timestamp", undefined, "@timestamp"], ["host.ip", "10.0.0.1,10.0.0.2", "host.ip"],
    ["host.ip", "10.0.0.1", "array"], ["host.mac", ["02:00:5e:10:7a:3c"], "host.mac"], ["event.kind", "alarm", "event.kind"],
    ["event.category", ["virus"], "event.category"], ["event.type", ["deletion"], "event.type"], ["event.outcome", "good", "event.outcome"],
    ["event.severity", "100", "event.severity"], ["event.created", 1792000000, "event.created"], ["ecs.version", "8.11.0", "ecs.version"],
    ["host.os.type", "windows_legacy", "host.os.type"], ["host.hostnam", "x", "host.hostnam"], ["file.hash", "abc", "file.hash"],
    ["file.size", "413696", "file.size"], ["message", null, "message"], ["threat.tactic.id", "TA0003", "threat.tactic.id"],
    ["threat.indicator.type", "datei", "threat.indicator.type"], ["sentinel_one.threat.nam", "x", "sentinel_one.threat.nam"],
    ["sentinel_one.threat.detection.agent.ipv4", ["not-an-ip"], "ipv4"], ["sentinel_one.threat.agent.decommissioned_at", "2026-01-01T00:00:00Z", "decommissioned_at"],
    ["sentinel_one.threat.mitigation_status", ["x"], "mitigation_status"],
  ]) {
    const copy = structuredClone(doc), keys = at.split("."), last = keys.pop();
    const o = keys.reduce((x, k) => (x[k] ??= {}), copy);
    if (value === undefined) delete o[last]; else o[last] = value;
    yield [`${at} = ${JSON.stringify(value)}`, about, copy];
  }
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
function* lines(file) {
  const bytes = fs.readFileSync(file);
  for (let from = 0, to; (to = bytes.indexOf(10, from)) >= 0; from = to + 1) yield bytes.subarray(from, to);
}
const parse = (bytes) => JSON.parse(decoder.decode(bytes));

function main(dir, files) {
  const at = (name) => [...lines(path.join(dir, name))];
  const threats = at("threats.ndjson"), identities = at("events.ndjson").map(parse), names = at("names.txt").map((b) => decoder.decode(b));
  const found = [];
  let n = 0;
  const judge = (name, bytes, threat, identity) => {
    n++;
    let out;
    try {
      const doc = parse(bytes);
      out = faults(doc);
      if (!out.length && threat) out = differences(parse(threat), doc, identity);
    } catch (e) { out = [e.message]; }
    found.push(...out.map((f) => `${name}: ${f}`));
  };
  for (const file of fs.readdirSync(dir).filter((f) => /^ecs.*\.ndjson$/.test(f)).sort()) {
    const numbers = at(file.replace("ndjson", "index")).map((b) => +decoder.decode(b)), docs = at(file);
    if (docs.length !== numbers.length || (file === "ecs.ndjson" && !threats.every((_, i) => numbers[i] === i)) || !docs.length)
      found.push(`${file}: not one document of each threat`);
    docs.forEach((doc, i) => judge(`${file}: ${names[numbers[i]]}`, doc, file.includes("small") ? null : threats[numbers[i]], identities[numbers[i]]));
  }
  for (const file of files) judge(file, fs.readFileSync(file));
  let tried = 0;
  const missed = [];
  for (const [name, about, doc] of broken(parse(at("ecs.ndjson")[0]))) {
    tried++;
    if (!faults(doc).some((f) => f.includes(about))) missed.push(`a broken example passed, or failed for another reason: ${name}`);
  }
  // A document beside its own threat with one field changed, and beside another's identity.
  const threat = parse(threats[0]), doc = parse(at("ecs.ndjson")[0]);
  for (const [name, change] of Object.entries({
    "a text": (t) => { t.threatInfo.storyline += "x"; }, "a flag": (t) => { t.threatInfo.isFileless = !t.threatInfo.isFileless; },
    "a list": (t) => { t.threatInfo.engines.pop(); }, "a technique": (t) => { t.indicators[1].tactics.pop(); },
  })) {
    tried++;
    const other = structuredClone(threat);
    change(other);
    if (differences(threat, doc, identities[0]).length || !differences(other, doc, identities[0]).length) missed.push(`a document of another threat passed: ${name}`);
  }
  tried++;
  if (!differences(threat, doc, identities[1]).length) missed.push("a document of another identity passed");
  [...found, ...missed].slice(0, 50).forEach((l) => console.log(l));
  console.log(`ecs: ${n} documents, ${found.length} faults; ${tried - missed.length} of ${tried} broken examples found`);
  return found.length || missed.length || !n ? 1 : 0;
}

process.exit(main(process.argv[2], process.argv.slice(3)));
