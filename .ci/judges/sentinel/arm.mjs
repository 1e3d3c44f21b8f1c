// Judges the templates in deploy/siem/sentinel by the types of Microsoft's SDKs, without network.
//
//     NODE_PATH=.../node_modules node arm.mjs deploy/siem/sentinel
//
// Each resource's properties must be of the type that the SDK of its provider has for them, and its words of the
// enumerations. What no SDK knows, names, dependencies and expressions, is checked here. In the same run, copies with
// one fault each must be refused, each for its own.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";

const modules = process.env.NODE_PATH.split(path.delimiter).find((dir) => fs.existsSync(path.join(dir, "typescript")));
const require = createRequire(import.meta.url);
const monitor = require("@azure/arm-monitor"), insights = require("@azure/arm-operationalinsights"), security = require("@azure/arm-securityinsight");

// The type of a resource's properties, the SDK that has it, and what of it Azure asks for though the SDK leaves it open.
const known = {
  "Microsoft.OperationalInsights/workspaces/tables": ["TableProperties", "@azure/arm-operationalinsights", "schema plan"],
  "Microsoft.OperationalInsights/workspaces/savedSearches": ["SavedSearchProperties", "@azure/arm-operationalinsights", "", "{ etag: string }"],
  "Microsoft.Insights/dataCollectionRules": ["DataCollectionRule", "@azure/arm-monitor", "streamDeclarations destinations dataFlows"],
  "Microsoft.Insights/diagnosticSettings": ["DiagnosticSettings", "@azure/arm-monitor", "workspaceId logs"],
  "Microsoft.Authorization/roleAssignments": ["RoleAssignmentCreateParameters", "@azure/arm-authorization", "principalType"],
  "Microsoft.SecurityInsights/alertRules": ["Omit<ScheduledAlertRule, 'kind'>", "@azure/arm-securityinsight",
    "displayName enabled severity query queryFrequency queryPeriod triggerOperator triggerThreshold suppressionEnabled suppressionDuration"],
};

// Words of enumerations, by the path of the property; the SDKs' types take any text.
const enumerations = [
  [/\/tables.*\.schema\.columns\.\d+\.type$/, insights.KnownColumnTypeEnum], [/\/tables.*\.plan$/, insights.KnownTablePlanEnum],
  [/dataCollectionRules.*streamDeclarations.*\.type$/, monitor.KnownKnownColumnDefinitionType], [/dataCollectionRules\.kind$/, { Direct: "Direct" }], // by Microsoft's "Structure of a data collection rule": the SDK knows Linux and Windows
  [/alertRules.*\.severity$/, security.KnownAlertSeverity], [/alertRules.*\.tactics\.\d+$/, security.KnownAttackTactic],
  [/alertRules.*\.entityType$|groupByEntities\.\d+$/, security.KnownEntityMappingType], [/\.matchingMethod$/, security.KnownMatchingMethod],
  [/\.aggregationKind$/, security.KnownEventGroupingAggregationKind], [/alertRules\.kind$/, { Scheduled: "Scheduled" }],
  [/roleAssignments.*\.principalType$/, { ServicePrincipal: "ServicePrincipal", Group: "Group", User: "User" }],
];

// Each version is one that Azure has had for years, so that sovereign clouds have it too; endpoints of a rule begin at 2023-03-11.
const versions = {
  "Microsoft.OperationalInsights/workspaces/tables": "2022-10-01", "Microsoft.OperationalInsights/workspaces/savedSearches": "2020-08-01",
  "Microsoft.Insights/dataCollectionRules": "2023-03-11", "Microsoft.Insights/diagnosticSettings": "2021-05-01-preview",
  "Microsoft.Authorization/roleAssignments": "2022-04-01", "Microsoft.SecurityInsights/alertRules": "2024-03-01",
};
const functions = ["resourceGroup", "resourceId", "subscriptionResourceId", "parameters", "format", "guid", "reference"];

function* leaves(value, at) {
  if (value !== null && typeof value === "object") for (const [k, v] of Object.entries(value)) yield* leaves(v, `${at}.${k}`);
  else yield [at, value];
}

// structure returns the faults of a template that no type can have.
function structure(template) {
  const out = [], declared = Object.keys(template.parameters), used = new Set();
  const idOf = (r) => r.type.startsWith("Microsoft.OperationalInsights/workspaces/")
    ? `[resourceId('${r.type}', parameters('workspaceName'), '${r.name.match(/\/([^']+)'/)?.[1]}')]`
    : `[resourceId('${r.type}', ${r.name.slice(1, -1)})]`;
  const ids = template.resources.map(idOf);
  for (const r of template.resources) {
    if (r.apiVersion !== versions[r.type]) out.push(`${r.type}: apiVersion ${r.apiVersion}`);
    // A child is named after its parent; what extends another resource says which.
    if (r.type.split("/").length === 3 && !/^\[format\('\{0\}\/\w+', parameters\('workspaceName'\)\)\]$/.test(r.name)) out.push(`${r.type}: name ${r.name}`);
    if (/roleAssignments|alertRules|diagnosticSettings/.test(r.type) !== "scope" in r) out.push(`${r.type}: scope`);
    for (const d of r.dependsOn ?? []) if (!ids.includes(d)) out.push(`${r.type}: depends on ${d}, which is not in the template`);
    const text = JSON.stringify(r.properties) + (r.scope ?? "");
    if (/dataCollectionRules'|SentinelOneThreats_CL/.test(text) && /Microsoft.(Insights|Authorization|OperationalInsights.*saved)/.test(r.type) && !r.dependsOn) out.push(`${r.type}: depends on nothing`);
    if (/scope/.test(Object.keys(r).join()) && /dataCollectionRules/.test(r.scope) && !r.dependsOn) out.push(`${r.type}: does not wait for the rule`);
    for (const [at, value] of leaves({ kind: r.kind, properties: r.properties }, r.type)) {
      const words = enumerations.find(([where]) => where.test(at))?.[1];
      if (words && !Object.values(words).includes(value)) out.push(`${at}: ${value} is none of ${Object.values(words).slice(0, 8)}`);
    }
  }
  for (const [at, value] of leaves(template, "template")) {
    if (typeof value !== "string" || !value.startsWith("[")) continue;
    if (!value.endsWith("]") || value.split("(").length !== value.split(")").length) out.push(`${at}: ${value} is no expression`);
    for (const m of value.matchAll(/(\w+)\(/g)) if (!functions.includes(m[1])) out.push(`${at}: no function ${m[1]}`);
    for (const m of value.matchAll(/parameters\('(\w+)'\)/g)) used.add(m[1]);
  }
  for (const name of new Set([...declared, ...used])) if (!declared.includes(name) || !used.has(name)) out.push(`parameter ${name}: declared ${declared.includes(name)}, used ${used.has(name)}`);
  for (const [name, o] of Object.entries(template.outputs ?? {})) if (!o.type || !o.value) out.push(`output ${name}`);
  return out;
}

// types returns the faults of each list of resources, all of them in one run of the compiler.
function types(cases) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "arm."));
  try {
    fs.symlinkSync(modules, path.join(dir, "node_modules"));
    const lines = ["type Plain<T> = T extends string ? string : T extends Date ? string : T extends (infer U)[] ? Plain<U>[] : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;"];
    const owner = [null];
    cases.forEach(([, resources], i) => {
      for (const r of resources) {
        const [type, sdk, asked, more = "unknown"] = known[r.type] ?? ["never", "@azure/arm-monitor", ""];
        // An expression stands for a value of whatever type is wanted, which is a number here.
        const text = JSON.stringify(r.properties).replace(/"(retentionInDays|totalRetentionInDays)":"\[[^"]*\]"/g, '"$1":90');
        const name = type.match(/\b(\w+)(?:,|$)/)[1], needs = asked ? `Required<Pick<Props, ${asked.split(" ").map((k) => `"${k}"`).join(" | ")}>>` : "unknown";
        lines.push(`{ type Props = Plain<${type.replace(name, `import("${sdk}", { with: { "resolution-mode": "import" } }).${name}`)}>; const x: Props & ${needs} & ${more} = ${text}; void x; }`);
        owner.push(i);
      }
    });
    fs.writeFileSync(path.join(dir, "check.ts"), lines.join("\n") + "\nexport {};\n");
    let said = "";
    try {
      execFileSync("node", [path.join(modules, "typescript/bin/tsc"), "--noEmit", "--strict", "--skipLibCheck", "--ignoreConfig", "--pretty", "false", "--module", "nodenext", "--moduleResolution", "nodenext", "check.ts"], { cwd: dir, encoding: "utf8" });
    } catch (e) { said = e.stdout; }
    const out = cases.map(() => []);
    let last = [];
    for (const line of said.split("\n")) {
      const m = line.match(/^check\.ts\((\d+),\d+\): (error .*)/);
      if (m) (last = out[owner[m[1] - 1]] ?? out[0]).push(m[2]);
      else if (/^\s+\S/.test(line) && last.length) last.push(last.pop() + line); // what follows explains it
      else if (line) out[0].push(line);
    }
    return out;
  } finally { fs.rmSync(dir, { recursive: true }); }
}

const read = (file) => JSON.parse(fs.readFileSync(path.join(process.argv[2], file), "utf8"));
const main = read("azuredeploy.json"), rules = read("rules.json"), given = read("azuredeploy.parameters.json").parameters;
const cases = [["azuredeploy.json", main.resources, main], ["rules.json", rules.resources, rules]];
const good = cases.length;

// Copies with one fault each, and a word of the complaint.
const break_ = (template, name, about, how) => {
  const copy = structuredClone(template);
  how(copy);
  if (JSON.stringify(copy) === JSON.stringify(template)) throw new Error(`a broken example is not broken: ${name}`);
  cases.push([name, copy.resources, copy, about]);
};
const of = (t, type) => t.resources.find((r) => r.type.endsWith(type));
const flow = (t) => of(t, "dataCollectionRules").properties.dataFlows[0];
break_(main, "transformKQL", "transformKQL", (t) => { flow(t).transformKQL = flow(t).transformKql; delete flow(t).transformKql; });
break_(main, "a text where a list belongs", "string\\[\\]", (t) => (flow(t).streams = "Custom-SentinelOneThreats"));
break_(main, "colums", "colums", (t) => { const d = of(t, "dataCollectionRules").properties.streamDeclarations; d["Custom-SentinelOneThreats"] = { colums: [] }; });
break_(main, "a rule without destinations", "destinations", (t) => delete of(t, "dataCollectionRules").properties.destinations);
break_(main, "a column's type", "columns.*int64", (t) => (of(t, "tables").properties.schema.columns[3].type = "int64"));
break_(main, "a stream's type", "bool", (t) => (of(t, "dataCollectionRules").properties.streamDeclarations["Custom-SentinelOneThreats"].columns[7].type = "bool"));
break_(main, "a plan", "Analytic", (t) => (of(t, "tables").properties.plan = "Analytic"));
break_(main, "a kind", "kind", (t) => (of(t, "dataCollectionRules").kind = "direct"));
break_(main, "a table of no provider", "never", (t) => (of(t, "tables").type = "Microsoft.OperationalInsights/workspaces/table"));
break_(main, "a retention that is no number", "number", (t) => (of(t, "tables").properties.retentionInDays = "90 days"));
break_(main, "a function without a query", "query", (t) => delete of(t, "savedSearches").properties.query);
break_(main, "a role without a principal", "principalId", (t) => delete of(t, "roleAssignments").properties.principalId);
break_(main, "a log setting", "enable", (t) => { const [l] = of(t, "diagnosticSettings").properties.logs; l.enable = l.enabled; delete l.enabled; });
break_(main, "an old version of the rule's API", "apiVersion", (t) => (of(t, "dataCollectionRules").apiVersion = "2021-04-01"));
break_(main, "a dependency that is not there", "depends on", (t) => (of(t, "dataCollectionRules").dependsOn[0] = "[resourceId('Microsoft.OperationalInsights/workspaces/tables', parameters('workspaceName'), 'Other_CL')]"));
break_(main, "a role before its rule", "does not wait", (t) => delete of(t, "roleAssignments").dependsOn);
break_(main, "a role on the whole group", "scope", (t) => delete of(t, "roleAssignments").scope);
break_(main, "a parameter that is not declared", "parameter retention", (t) => (of(t, "tables").properties.retentionInDays = "[parameters('retention')]"));
break_(main, "half an expression", "no expression", (t) => (t.outputs.endpoint.value = t.outputs.endpoint.value.replace("))", ")")));
break_(main, "no such function", "no function", (t) => (t.outputs.endpoint.value = t.outputs.endpoint.value.replace("reference(", "refer(")));
break_(rules, "a severity", "severity", (t) => (t.resources[0].properties.severity = "Critical"));
break_(rules, "a tactic", "tactics", (t) => (t.resources[1].properties.tactics[1] = "Lateral Movement"));
break_(rules, "an entity", "Hash", (t) => (t.resources[0].properties.entityMappings[3].entityType = "Hash"));
break_(rules, "a number as a text", "number", (t) => (t.resources[0].properties.triggerThreshold = "0"));
break_(rules, "no period", "queryPeriod", (t) => delete t.resources[1].properties.queryPeriod);
break_(rules, "an unknown property", "suppress", (t) => (t.resources[1].properties.suppress = true));

const said = types(cases);
let found = 0, missed = 0;
cases.forEach(([name, , template, about], i) => {
  const faults = [...said[i], ...structure(template)];
  if (i < good) {
    found += faults.length;
    faults.forEach((f) => console.log(`${name}: ${f}`.slice(0, 400)));
  } else if (!faults.some((f) => new RegExp(about).test(f))) {
    missed++;
    console.log(`a broken example passed, or failed for another reason: ${name}: ${faults}`.slice(0, 600));
  }
});
for (const [name, p] of Object.entries(main.parameters))
  if (("defaultValue" in p) === name in given) { found++; console.log(`azuredeploy.parameters.json: ${name} ${name in given ? "has a default" : "is missing"}`); }
const tried = cases.length - good;
console.log(`arm: ${main.resources.length + rules.resources.length} resources, ${found} faults; ${tried - missed} of ${tried} broken examples found`);
process.exit(found || missed ? 1 : 0);
