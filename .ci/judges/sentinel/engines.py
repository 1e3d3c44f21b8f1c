"""Runs the KQL of deploy/siem/sentinel with two engines that others wrote, over the golden events.

    engines.py deploy/siem/sentinel [DIR]

DIR is what `go test ./sink/format -run TestCorpus -args -corpus.dir=DIR` wrote. The transformation is run by streaming-kql and
by duckdb-kql, which must agree; functions and rules by duckdb-kql, over rows that the transformation made. Queries,
table and stream are those of the templates. In the same run, queries broken on purpose must give something else.

Neither engine is Kusto. What duckdb-kql lacks is put another way before it runs (see Lab.query); the language service
judges the queries as they are.
"""

import datetime
import functools
import json
import pathlib
import re
import sys

import duckdb_kql
import streaming_kql

import cases

UTC = datetime.timezone.utc
STORED = {"string": "varchar", "dynamic": "json", "boolean": "boolean", "datetime": "timestamp", "long": "bigint", "int": "int"}
PARSER = "vimAlertEventSentinelOneS1stream"


class Queries:
    """The queries of the templates, by name, and what they stand on."""

    def __init__(self, folder):
        main, rules = (json.loads((folder / f).read_text()) for f in ("azuredeploy.json", "rules.json"))
        by_type = {}
        for r in main["resources"]:
            by_type.setdefault(r["type"].split("/")[-1], []).append(r["properties"])
        (table,), (rule,) = by_type["tables"], by_type["dataCollectionRules"]
        self.columns = {c["name"]: c["type"].lower() for c in table["schema"]["columns"]}
        (stream,) = rule["streamDeclarations"].values()
        self.stream = {c["name"]: c["type"] for c in stream["columns"]}
        self.text = {"transform": rule["dataFlows"][0]["transformKql"]}
        self.text |= {f["functionAlias"]: f["query"] for f in by_type["savedSearches"]}
        self.text |= {n: r["properties"]["query"] for n, r in zip(("not-mitigated", "same-file"), rules["resources"])}
        (parser,) = (f for f in by_type["savedSearches"] if f["functionAlias"] == PARSER)
        self.parameters = re.findall(r"(\w+):\w+=((?:[^,(]|\([^)]*\))+)", parser["functionParameters"])

    def broken(self, name, old, new):
        copy = Queries.__new__(Queries)
        copy.__dict__ |= self.__dict__
        if old not in self.text[name]:
            raise SystemExit(f"a broken example has nothing to break: {name}: {old}")
        copy.text = self.text | {name: self.text[name].replace(old, new)}
        return copy


def moment(value):
    """A time as both engines give it: naive, in UTC, or None."""
    if isinstance(value, str):
        value = datetime.datetime.fromisoformat(value)
    return value.astimezone(UTC).replace(tzinfo=None) if value is not None and value.tzinfo else value


@functools.cache
def sql(text, now, tables):
    """A query as DuckDB's SQL: translating takes most of the time."""
    return duckdb_kql.to_sql(text, query_now=now, schema=dict(tables))


@functools.cache
def flow(text):
    return streaming_kql.compile(text, streaming_kql.Schema({"TimeGenerated": "datetime"}))


class Lab:
    """A workspace with one table."""

    def __init__(self, queries):
        self.queries = queries
        self.flow = flow(queries.text["transform"])
        self.db = duckdb_kql.connect()
        self.tables = ("source", tuple(queries.stream)), ("SentinelOneThreats_CL", (*queries.columns, "IngestionTime"))
        self.empty()

    def empty(self):
        self.create("SentinelOneThreats_CL", self.queries.columns | {"IngestionTime": "datetime"})

    def create(self, name, columns):
        self.db.execute(f"CREATE OR REPLACE TABLE {name} (" + ", ".join(f'"{c}" {STORED[t]}' for c, t in columns.items()) + ")")

    def insert(self, name, rows, columns):
        if rows:
            values = [[json.dumps(r[c]) if t == "dynamic" else moment(r[c]) if t == "datetime" else r[c] for c, t in columns.items()] for r in rows]
            self.db.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(columns))})", values)

    def transform(self, record):
        """The row that a record becomes, by streaming-kql."""
        row = self.flow.match(record)
        return {c: moment(v) if self.queries.columns.get(c) == "datetime" else v for c, v in row.items()}

    def transform_again(self, records):
        """The same by duckdb-kql, for all of them."""
        self.create("source", self.queries.stream)
        self.insert("source", records, self.queries.stream)
        return self.rows(self.queries.text["transform"], None)

    def store(self, records, arrived):
        """What the service does: a TimeGenerated of more than two days ago becomes the time of receipt."""
        rows = []
        for record in records:
            row = self.transform(record) | {"IngestionTime": moment(arrived)}
            if row["TimeGenerated"] < row["IngestionTime"] - datetime.timedelta(days=2):
                row["TimeGenerated"] = row["IngestionTime"]
            rows.append(row)
        self.insert("SentinelOneThreats_CL", rows, self.queries.columns | {"IngestionTime": "datetime"})

    def query(self, name, now, **arguments):
        """Rows of a function or a rule. Put another way: our function in place of its name; ingestion_time(), which is a
        column here; has_any_ipv4_prefix and set_union, which duckdb-kql lacks."""
        plain = {n: re.sub(r"(?m)(^|[ \t])//.*$", "", t) for n, t in self.queries.text.items()}
        text = plain[name].replace("SentinelOneThreatsLatest()", plain["SentinelOneThreatsLatest"].strip())
        text = text.replace("ingestion_time()", "IngestionTime")
        text = re.sub(r"has_any_ipv4_prefix\((\w+), (\w+)\)", r"\1 has_any (\2)", text)
        text = re.sub(r"set_union\((\w+), dynamic\(\[\]\)\)", r"\1", text)
        if name == PARSER:
            text = "".join(f"let {p} = {arguments.get(p, default.lower())};\n" for p, default in self.queries.parameters) + text
        return self.rows(text, now)

    def rows(self, text, now):
        translated = sql(text, now and now.replace(tzinfo=UTC), self.tables)
        cursor = self.db.execute(translated, translated.parameters) if translated.parameters else self.db.execute(translated)
        names = [d[0] for d in cursor.description]
        return [{n: moment(v) if isinstance(v, datetime.datetime) else v for n, v in zip(names, r)} for r in cursor.fetchall()]


# Which cases a query is judged by.
CASES = {
    "transform": lambda lab, records: cases.transformation(lab, records),
    "SentinelOneThreatsLatest": lambda lab, records: cases.latest(lab),
    PARSER: lambda lab, records: cases.parser(lab, records),
    "not-mitigated": lambda lab, records: cases.not_mitigated(lab),
    "same-file": lambda lab, records: cases.same_file(lab),
}


def faults(queries, name, records):
    """What is wrong with a query, one fault after the other."""
    try:
        yield from CASES[name](Lab(queries), records)
    except Exception as e:  # it does not run
        yield f"{name}: {type(e).__name__}: {e}"[:300]


BROKEN = [
    ("transform", "Sha1 = tostring(T.sha1)", "Sha1 = tostring(T.sha256)"),
    ("transform", 'Confidence == "malicious" and Mitigation != "mitigated", "high"', 'Confidence == "malicious", "high"'),
    ("transform", "iif(isnull(Changed), TimeGenerated, Changed)", "TimeGenerated"),
    ("transform", 'Class in ("pua", "pup")', 'Class in ("none")'),
    ("transform", "isempty(D.siteName)", "isempty(T.threatName)"),
    ("SentinelOneThreatsLatest", "arg_max(UpdatedAt, *)", "arg_max(TimeGenerated, *)"),
    ("SentinelOneThreatsLatest", "arg_max(ArrivedAt, *)", "arg_min(ArrivedAt, *)"),
    ("SentinelOneThreatsLatest", "by Console, ThreatId\n", "by ThreatId\n"),
    (PARSER, "arg_max(UpdatedAt, *)", "arg_max(TimeGenerated, *)"),
    (PARSER, "arg_max(ArrivedAt, *)", "arg_min(ArrivedAt, *)"),
    (PARSER, '"False Positive"', '"FalsePositive"'),
    (PARSER, 'and Format == "json"', ""),
    (PARSER, "T\\d{4}", "S\\d{4}"),
    (PARSER, "Username has_any (username_has_any)", "true"),
    (PARSER, "FileSHA256 = Sha256", "FileSHA256 = Sha1"),
    ("not-mitigated", "grace = 30m", "grace = 3m"),
    ("not-mitigated", "+ grace, ArrivedAt)", "+ grace, datetime(2000-01-01))"),
    ("not-mitigated", 'IncidentStatus !~ "resolved" and ', ""),
    ("not-mitigated", 'ConfidenceLevel =~ "malicious" and ', ""),
    ("not-mitigated", "ago(window)", "ago(100d)"),
    ("same-file", "Agents >= computers", "Agents > computers"),
    ("same-file", "dcount(AgentId)", "dcount(ThreatId)"),
    ("same-file", ' and MitigationStatus !~ "marked_as_benign"', ""),
    ("same-file", "LastArrivedAt > ago(window)", "true"),
]


def main(folder, corpus):
    queries = Queries(folder)
    records = [json.loads(line) for line in (folder / "testdata" / "records.ndjson").open()]
    found = [f for name in CASES for f in faults(queries, name, records)]
    threats = len((corpus / "names.txt").read_bytes().splitlines()) if corpus else 0
    if corpus:
        found += cases.corpus(Lab(queries), corpus)
    missed = [f"a broken example passed: {n}: {new[:60]}" for n, old, new in BROKEN if next(faults(queries.broken(n, old, new), n, records), None) is None]
    tried = len(BROKEN)
    if corpus:  # the first example breaks these cases too
        tried += 1
        if next(cases.corpus(Lab(queries.broken(*BROKEN[0])), corpus), None) is None:
            missed.append("a broken example passed over the corpus")
    for line in (found + missed)[:50]:
        print(line)
    print(f"kql engines: {len(records)} golden records and {threats} threats, {len(found)} faults; {tried - len(missed)} of {tried} broken examples found")
    return 1 if found or missed or not records or corpus and threats < 1000 else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None))
