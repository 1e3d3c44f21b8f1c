// Microsoft's KQL language service, and the templates of deploy/siem/sentinel as it has to see them.
import fs from "node:fs";
import path from "node:path";
import vm from "node:vm";
import { createRequire } from "node:module";

// The package is script for a browser: it makes globals.
const dir = path.dirname(createRequire(import.meta.url).resolve("@kusto/language-service-next/package.json"));
for (const file of ["bridge.min.js", "Kusto.Language.Bridge.min.js"]) vm.runInThisContext(fs.readFileSync(path.join(dir, file), "utf8"), file);
const K = globalThis.Kusto.Language, S = K.Symbols, { Array: List, Enum } = globalThis.System;
const listed = (list, type) => Array.from({ length: list ? List.getCount(list, type) : 0 }, (_, i) => List.getItem(list, i, type));

// analyse returns a query's faults, as "line: code what", and the columns that it gives, by name.
export function analyse(text, tables, before = "") {
  const symbols = Object.entries(tables).map(([name, columns]) =>
    new S.TableSymbol.$ctor7(name, "(" + Object.entries(columns).map(([c, t]) => `['${c}']:${t}`).join(",") + ")", null));
  const code = K.KustoCode.ParseAndAnalyze(before + text, K.GlobalState.Default.WithDatabase(new S.DatabaseSymbol.ctor("workspace", symbols)));
  const first = before.split("\n").length - 1;
  const faults = listed(code.GetDiagnostics(), K.Diagnostic).map((d) =>
    `${(before + text).slice(0, d.Start).split("\n").length - first}: ${d.Code} ${d.Message}`);
  const columns = {};
  for (const c of listed(code.ResultType?.Columns, S.ColumnSymbol)) columns[c.Name] = c.Type.Name;
  return { faults, columns, code };
}

// What "Supported KQL features in Azure Monitor transformations" allows. The language service knows nothing of it.
const words = (text) => new Set(text.trim().split(/\s+/));
const operators = words("Extend Project Filter Print Parse ProjectAway ProjectRename");
const expressions = words(`Pipe NameReference FunctionCall SimpleNamed Path Element Bracketed Parenthesized
  StringLiteral LongLiteral IntLiteral RealLiteral BooleanLiteral DateTimeLiteral TimespanLiteral CompoundStringLiteral
  And Or Equal NotEqual EqualTilde BangTilde LessThan LessThanOrEqual GreaterThan GreaterThanOrEqual
  Add Subtract Multiply Divide Modulo UnaryMinus UnaryPlus In NotIn Contains NotContains ContainsCs NotContainsCs Has NotHas HasCs NotHasCs
  StartsWith NotStartsWith StartsWithCs NotStartsWithCs EndsWith NotEndsWith EndsWithCs NotEndsWithCs MatchesRegex`);
const functions = words(`binary_and binary_or binary_not binary_shift_left binary_shift_right binary_xor
  tobool todatetime todouble toreal toguid toint tolong tostring totimespan
  ago datetime_add datetime_diff datetime_part dayofmonth dayofweek dayofyear endofday endofmonth endofweek endofyear getmonth getyear
  hourofday make_datetime make_timespan now startofday startofmonth startofweek startofyear weekofyear
  array_concat array_length pack_array pack parse_json parse_xml zip
  abs bin floor ceiling exp exp10 exp2 isfinite isinf isnan log log10 log2 pow round sign case iif max_of min_of
  base64_encodestring base64_decodestring countof extract extract_all indexof isempty isnotempty split strcat strcat_delim strlen
  substring tolower toupper hash_sha256 gettype isnotnull isnull columnifexists parse_cef_dictionary geo_location`);

// beyond returns what of a query a transformation can't do.
export function beyond(text, tables) {
  const out = new Set();
  if (text.length > 15360) out.add(`${text.length} characters, and 15360 are allowed`); // Azure Monitor service limits
  K.Syntax.SyntaxElement.WalkNodes(analyse(text, tables).code.Syntax, (node) => {
    const kind = Enum.toString(K.Syntax.SyntaxKind, node.Kind);
    if (kind === "FunctionCallExpression") {
      if (!functions.has(node.Name.SimpleName)) out.add(`function ${node.Name.SimpleName}`);
    } else if (kind.endsWith("Operator")) {
      if (!operators.has(kind.slice(0, -"Operator".length))) out.add(`operator ${kind}`);
    } else if (kind.endsWith("Expression")) {
      if (!expressions.has(kind.slice(0, -"Expression".length))) out.add(`expression ${kind}`);
    }
  });
  return [...out];
}

// In KQL's words; what a template calls a type is looked up without case.
const kqlTypes = { string: "string", int: "int", long: "long", real: "real", boolean: "bool", datetime: "datetime", guid: "string", dynamic: "dynamic" };
export const schemaOf = (columns) => Object.fromEntries(columns.map((c) => [c.name, kqlTypes[c.type.toLowerCase()]]));

// Columns that Azure Monitor gives every table ("Standard columns in Azure Monitor Logs").
const standard = { TenantId: "string", Type: "string", _ResourceId: "string", _SubscriptionId: "string", _ItemId: "string", _TimeReceived: "datetime" };

// load reads the templates: the table and the stream as they declare them, the functions as let statements.
export function load(folder) {
  const read = (file) => JSON.parse(fs.readFileSync(path.join(folder, file), "utf8"));
  const main = read("azuredeploy.json"), rules = read("rules.json");
  const of = (template, type) => template.resources.filter((r) => r.type === type);
  const [table] = of(main, "Microsoft.OperationalInsights/workspaces/tables"), [dcr] = of(main, "Microsoft.Insights/dataCollectionRules");
  const flow = dcr.properties.dataFlows[0];
  const name = table.properties.schema.name, columns = schemaOf(table.properties.schema.columns);
  const saved = of(main, "Microsoft.OperationalInsights/workspaces/savedSearches").map((r) => r.properties);
  return {
    main, rules, dcr, flow, name, columns,
    source: { source: schemaOf(dcr.properties.streamDeclarations[flow.streams[0]].columns) },
    tables: {
      [name]: { ...columns, ...standard },
      DCRLogErrors: { TimeGenerated: "datetime", InputStreamId: "string", OperationName: "string", Message: "string", _ResourceId: "string" },
    },
    functions: saved,
    lets: saved.map((f) => `let ${f.functionAlias} = (${f.functionParameters ?? ""}) {\n${f.query}\n};\n`).join(""),
    alerts: of(rules, "Microsoft.SecurityInsights/alertRules").map((r) => r.properties),
  };
}
