// Judges CloudEvents by the CloudEvents SDK, as they were sent over HTTP in the three content modes, and as Kafka's
// binding has them.
//
//     node judge.mjs DIR
//
// DIR holds webhook.ndjson and cloudevents-kafka.ndjson, which `go test ./sink ./sink/cloudevents -run TestCorpus -args
// -corpus.dir=DIR` wrote. Each event must be valid in strict mode, one of its threat, and hold the record unchanged, the
// same in every mode. The SDK fills in what is missing, takes other specversions and, reading a request, bad times, and
// decodes no header: that is looked at here. In the same run, events broken on purpose must be found.
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";
import { createRequire } from "node:module";
import { isDeepStrictEqual } from "node:util";
const { CloudEvent, HTTP, Kafka } = createRequire(import.meta.url)("cloudevents");

const required = ["id", "source", "specversion", "type"];
const types = ["created", "updated", "resolved"].map((t) => `com.sentinelone.threat.${t}`);
const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const isText = (v) => typeof v === "string";
const mayBeAttribute = (s) => s !== "" && !/[\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}\ufffd]/u.test(s); // spec.md, "Type System"

// attributes holds an event's attributes, each a text as it came, against the event that it is of.
function attributes(a, event, err) {
  for (const name of required) if (!isText(a[name]) || a[name] === "") err(`${name}: is missing`);
  if (a.specversion !== "1.0") err(`specversion: is ${a.specversion}`);
  if (a.id !== event.version) err(`id: is ${a.id}, not the version`);
  if (!/^https:\/\/console\.example(\/accounts\/\d{1,32})?$/.test(a.source)) err(`source: is ${a.source}`);
  if (!types.includes(a.type)) err(`type: is ${a.type}`);
  if (!time.test(a.time) || Date.parse(a.time) !== event.at) err(`time: is ${a.time}`);
  const subject = mayBeAttribute(event.id) ? event.id : undefined;
  if (a.subject !== subject) err(`subject: is ${a.subject}, not ${subject}`);
  for (const name of Object.keys(a))
    if (![...required, "time", "subject", "datacontenttype"].includes(name)) err(`${name}: is no attribute of ours`);
}

// says holds what an event says of a threat against the threat, where the record is the threat itself.
function says(a, threat, err) {
  const account = threat.agentDetectionInfo?.accountId;
  if (isText(account) && /^\d{1,32}$/.test(account) && !a.source?.endsWith(`/accounts/${account}`)) err(`source: is not of account ${account}`);
  const status = threat.threatInfo?.incidentStatus;
  if (isText(status) && (status.toLowerCase() === "resolved") !== a.type?.endsWith(".resolved")) err(`type: is ${a.type} at ${status}`);
}

// contentType is that of a record.
const contentType = (format) => (["cef", "leef"].includes(format) ? "text/plain; charset=utf-8" : "application/json");
const record = (body, format) => (contentType(format) === "application/json" ? JSON.parse(body) : body);

// strict has the SDK judge an event that stands as JSON, and returns it.
function strict(json, err) {
  for (const name of required) if (!(name in json)) return void err(`${name}: is missing`);
  try {
    const event = new CloudEvent(json, true);
    if (event.validate() !== true) err("validate: says no");
    return event;
  } catch (e) {
    err(`the SDK: ${e.message}`);
  }
}

// envelope judges one event in its envelope; whole is the record as the binary mode had it, undefined where it has a limit.
function envelope(json, event, format, whole, err) {
  if (!strict(json, err)) return;
  const { data, ...a } = json;
  if (data === undefined) err("data: is missing");
  if (a.datacontenttype !== contentType(format)) err(`datacontenttype: is ${a.datacontenttype}`);
  attributes(a, event, err);
  if (whole !== undefined && !isDeepStrictEqual(data, whole)) err("data: is not the record");
  if (format === "json" && whole !== undefined) says(a, data, err);
}

// unpercent decodes the value of a header (HTTP binding, section 3.1.3.2).
function unpercent(value, err) {
  if (!/^[!#$&-~]+(%[0-9A-F]{2}[!#$&-~]*)*$|^(%[0-9A-F]{2}[!#$&-~]*)+$/.test(value)) err(`${value}: is not percent-encoded`);
  try { return decodeURIComponent(value); } catch { err(`${value}: is not UTF-8`); return value; }
}

// judge returns the faults of one request; seen collects the records that the binary mode had.
function judge(request, seen) {
  const faults = [], err = (text) => faults.push(text);
  const { headers, events, format, limit } = request;
  let body;
  try { body = utf8.decode(request.body); } catch { return ["body: is no UTF-8"]; }
  if (limit && request.body.length > limit) err(`body: ${request.body.length} bytes of ${limit}`);
  let read;
  try { read = HTTP.toEvent({ headers, body }); } catch (e) { return [`the SDK: ${e.message}`]; }
  const whole = (event) => (limit ? undefined : seen.get(event.version));
  switch (request.mode) {
    case "cloudevents-binary": {
      const [event] = events, a = {};
      for (const [name, value] of Object.entries(headers)) if (name.startsWith("ce-")) a[name.slice(3)] = unpercent(value, err);
      if ("datacontenttype" in a) err("ce-datacontenttype: must not be there");
      if (headers["content-type"] !== contentType(format)) err(`content-type: is ${headers["content-type"]}`);
      attributes(a, event, err);
      // As it was decoded, for the SDK does not.
      strict({ ...a, datacontenttype: headers["content-type"], data: record(body, format) }, err);
      if (!limit && crypto.createHash("sha256").update(request.body).digest("hex") !== event.digest) err("body: is not the record");
      if (!isDeepStrictEqual(read.data, record(body, format)) || read.id !== event.version || read.type !== a.type) err("the SDK reads another event");
      if (format === "json" && !limit) says(a, record(body, format), err);
      seen.set(event.version, record(body, format));
      break;
    }
    case "cloudevents":
      if (headers["content-type"] !== "application/cloudevents+json") err(`content-type: is ${headers["content-type"]}`);
      envelope(JSON.parse(body), events[0], format, whole(events[0]), err);
      if (read.id !== events[0].version || read.validate() !== true) err("the SDK reads another event");
      break;
    case "cloudevents-batch": {
      if (headers["content-type"] !== "application/cloudevents-batch+json") err(`content-type: is ${headers["content-type"]}`);
      const list = JSON.parse(body);
      if (list.length !== events.length || read.length !== events.length) return ["body: another number of events"];
      list.forEach((json, i) => envelope(json, events[i], format, whole(events[i]), (text) => err(`[${i}].${text}`)));
      break;
    }
  }
  return faults;
}

// kafka judges one record of Kafka's binding. The SDK reads a key as the attribute partitionkey.
function kafka(entry) {
  const faults = [], err = (text) => faults.push(text), a = {};
  for (const [name, value] of Object.entries(entry.headers)) if (name.startsWith("ce_")) a[name.slice(3)] = value;
  attributes(a, entry, err);
  if (entry.headers["content-type"] !== contentType(entry.format)) err(`content-type: is ${entry.headers["content-type"]}`);
  let value;
  try {
    // The SDK reads bytes as binary data unless they are JSON: a consumer of text decodes it before.
    value = contentType(entry.format) === "application/json" ? entry.value : utf8.decode(entry.value);
    const read = Kafka.toEvent({ key: entry.key, headers: entry.headers, value });
    if (read.id !== entry.version || read.source !== a.source || read.type !== a.type || read.subject !== a.subject) err("the SDK reads another event");
    strict({ ...a, datacontenttype: entry.headers["content-type"], data: read.data }, err);
    if (entry.format === "json") says(a, read.data, err);
  } catch (e) { err(`the SDK: ${e.message}`); }
  return faults;
}

// Events broken on purpose: each change must be found.
const json = (change) => (r) => {
  const body = JSON.parse(r.body), event = Array.isArray(body) ? body[body.length - 1] : body;
  return { ...r, body: Buffer.from(JSON.stringify(change(event, body) ?? body)) };
};
const header = (name, value) => (r) => {
  const headers = { ...r.headers, [name]: value };
  if (value === undefined) delete headers[name];
  return { ...r, headers };
};
const breaks = {
  "cloudevents": {
    "no id": json((e) => { delete e.id; }), "no source": json((e) => { delete e.source; }),
    "no type": json((e) => { delete e.type; }), "no specversion": json((e) => { delete e.specversion; }),
    "specversion 0.9": json((e) => { e.specversion = "0.9"; }), "specversion 0.3": json((e) => { e.specversion = "0.3"; }),
    "a number as specversion": json((e) => { e.specversion = 1.0; }),
    "an upper-case extension": json((e) => { e.Tenant = "x"; }), "an extension with a dash": json((e) => { e["s1-id"] = "x"; }),
    "an extension nobody asked for": json((e) => { e.severity = "5"; }),
    "an empty type": json((e) => { e.type = ""; }), "a number as id": json((e) => { e.id = 5; }),
    "a time in words": json((e) => { e.time = "yesterday"; }), "a time of another moment": json((e) => { e.time = "2020-01-01T00:00:00.000000Z"; }),
    "a source with a space": json((e) => { e.source = "https://console.example/ a"; }),
    "another id": json((e) => { e.id = "0".repeat(32); }), "another subject": json((e) => { e.subject = "5"; }),
    "another content type of data": json((e) => { e.datacontenttype = "application/xml"; }),
    "data as text in text": json((e) => { e.data = JSON.stringify(e.data); }), "no data": json((e) => { delete e.data; }),
    "data in base64": json((e) => { e.data_base64 = "AAAA"; delete e.data; }),
    "half of it": (r) => ({ ...r, body: r.body.subarray(0, r.body.length >> 1) }),
    "invalid UTF-8": (r) => ({ ...r, body: Buffer.concat([r.body.subarray(0, -2), Buffer.from([0xff, 0x22, 0x7d])]) }),
    "content type of JSON": header("content-type", "application/json"), "no content type": header("content-type", undefined),
  },
  "cloudevents-binary": {
    "no ce-id": header("ce-id", undefined), "no ce-source": header("ce-source", undefined), "no ce-type": header("ce-type", undefined),
    "no ce-specversion": header("ce-specversion", undefined), "ce-specversion 0.3": header("ce-specversion", "0.3"),
    "ce-datacontenttype": header("ce-datacontenttype", "application/json"), "another content type": header("content-type", "application/xml"),
    "an extension nobody asked for": header("ce-severity", "5"), "ce-time in words": header("ce-time", "yesterday"),
    "a subject that is not encoded": header("ce-subject", "grün"), "a subject with a space": header("ce-subject", "a b"),
    "a subject of broken UTF-8": header("ce-subject", "%C0%A0"), "another subject": header("ce-subject", "5"),
    "a byte more": (r) => ({ ...r, body: Buffer.concat([r.body, Buffer.from(" ")]) }),
    "a byte less": (r) => ({ ...r, body: r.body.subarray(0, -1) }),
  },
  "cloudevents-batch": {
    "an event without id": json((e) => { delete e.id; }), "an event of specversion 0.9": json((e) => { e.specversion = "0.9"; }),
    "an upper-case extension": json((e) => { e.Tenant = "x"; }), "an event less": json((e, all) => { all.pop(); }),
    "an event twice": json((e, all) => { all.push(e); }), "the order turned round": json((e, all) => { all.reverse(); }),
    "one event alone": json((e) => e), "data of its neighbour": json((e, all) => { e.data = all[0].data; }),
    "content type of one event": header("content-type", "application/cloudevents+json"),
  },
};
const kafkaBreaks = {
  "no ce_id": header("ce_id", undefined), "no ce_source": header("ce_source", undefined), "no ce_type": header("ce_type", undefined),
  "no ce_specversion": header("ce_specversion", undefined), "ce_specversion 0.9": header("ce_specversion", "0.9"),
  "ce_time in words": header("ce_time", "yesterday"), "another content type": header("content-type", "application/xml"),
  "another subject": header("ce_subject", "5"), "an upper-case extension": header("ce_Tenant", "x"),
  "a value that is cut": (r) => (contentType(r.format) === "application/json" ? { ...r, value: r.value.subarray(0, -1) } : undefined),
};

// faultsOf makes a fault of what the judge stumbles over.
const faultsOf = (judge, ...args) => { try { return judge(...args); } catch (e) { return [`the judge: ${e.message}`]; } };

const dir = process.argv[2];
let faulty = 0, broken = 0;
const fault = (text) => { if (++faulty <= 40) console.error(`cloudevents: ${text}`); };

async function* lines(file) {
  for await (const line of readline.createInterface({ input: fs.createReadStream(path.join(dir, file)), crlfDelay: Infinity })) yield JSON.parse(line);
}

const count = {}, kinds = new Set();
let seen = new Map(), group = [];
// Binary requests come last in their group of ten threats: the others wait for them.
function flush() {
  for (const r of [...group].sort((a, b) => (b.mode === "cloudevents-binary") - (a.mode === "cloudevents-binary"))) {
    count[r.mode] = (count[r.mode] ?? 0) + r.events.length;
    for (const text of faultsOf(judge, r, seen)) fault(`${r.name}, ${r.events[0].name}: ${text}`);
    // One of each kind, and an ordinary one of them, is enough to see that the judge looks.
    if (kinds.has(r.name) || r.limit || !r.events.every((e) => /^[1-9]\d+$/.test(e.id))) continue;
    kinds.add(r.name);
    for (const [name, change] of Object.entries(breaks[r.mode])) {
      const bad = change(r);
      if (name === "data as text in text" && contentType(r.format) !== "application/json") bad.body = Buffer.from(JSON.stringify({ ...JSON.parse(bad.body), data: "x" }));
      if (faultsOf(judge, bad, new Map(seen)).length === 0) fault(`${r.name}: ${name} was not found`);
      broken++;
    }
  }
  seen = new Map();
  group = [];
}
let last = "";
for await (const r of lines("webhook.ndjson")) {
  if (!(r.mode in breaks)) continue;
  r.body = Buffer.from(r.body, "base64");
  if (r.mode === "cloudevents" && last !== "cloudevents") flush(); // the modes of a group come in the same order each time
  last = r.mode;
  group.push(r);
}
flush();

let records = 0;
const broke = new Set();
for await (const entry of lines("cloudevents-kafka.ndjson")) {
  entry.value = Buffer.from(entry.value, "base64");
  records++;
  for (const text of faultsOf(kafka, entry)) fault(`kafka, ${entry.format}, ${entry.name}: ${text}`);
  if (broke.has(entry.format) || !/^[1-9]\d+$/.test(entry.id)) continue;
  broke.add(entry.format);
  for (const [name, change] of Object.entries(kafkaBreaks)) {
    const bad = change(entry);
    if (bad === undefined) continue;
    if (faultsOf(kafka, bad).length === 0) fault(`kafka, ${entry.format}: ${name} was not found`);
    broken++;
  }
}
console.log(`cloudevents: ${Object.entries(count).map(([mode, n]) => `${n} as ${mode}`).join(", ")}, ${records} as Kafka records; ` +
  `${kinds.size + broke.size} kinds, ${broken} broken ones, ${faulty} faults`);
const enough = Object.keys(breaks).every((mode) => count[mode] >= 5000) && records >= 5000 && kinds.size === 15 && broke.size === 5;
process.exit(faulty || !enough ? 1 : 0);
