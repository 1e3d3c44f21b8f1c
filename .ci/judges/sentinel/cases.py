"""What the KQL of deploy/siem/sentinel has to give: written from SentinelOne's fields and Microsoft's words, not from the queries."""

import datetime
import hashlib
import json
import re

T, R, D = "threatInfo", "agentRealtimeInfo", "agentDetectionInfo"

# A column and the field that it holds; of two fields, the first that is not empty.
TEXTS = {
    "ThreatName": [(T, "threatName")], "Classification": [(T, "classification")], "ConfidenceLevel": [(T, "confidenceLevel")],
    "MitigationStatus": [(T, "mitigationStatus")], "AnalystVerdict": [(T, "analystVerdict")], "IncidentStatus": [(T, "incidentStatus")],
    "DetectionType": [(T, "detectionType")], "AgentId": [(R, "agentId")], "AgentComputerName": [(R, "agentComputerName")],
    "AgentDomain": [(D, "agentDomain"), (R, "agentDomain")], "AgentOsName": [(D, "agentOsName"), (R, "agentOsName")],
    "AgentIpV4": [(D, "agentIpV4")], "ProcessUser": [(T, "processUser")], "LastLoggedInUser": [(D, "agentLastLoggedInUserName")],
    "OriginatorProcess": [(T, "originatorProcess")], "CommandLine": [(T, "maliciousProcessArguments")], "FilePath": [(T, "filePath")],
    "Md5": [(T, "md5")], "Sha1": [(T, "sha1")], "Sha256": [(T, "sha256")], "Storyline": [(T, "storyline")],
    "AccountName": [(D, "accountName"), (R, "accountName")], "SiteName": [(D, "siteName"), (R, "siteName")], "GroupName": [(D, "groupName"), (R, "groupName")],
}
TIMES = {"CreatedAt": "createdAt", "IdentifiedAt": "identifiedAt"}

VERDICTS = {"True Positive", "False Positive", "Benign Positive", "Unknown"}
SEVERITIES = {"Informational", "Low", "Medium", "High"}
METHODS = {"EDR", "Behavioral Analytics", "Reputation", "Threat Intelligence", "Intrusion Detection", "Automated Investigation", "Antivirus",
           "Data Loss Prevention", "User Defined Blocked List", "Cloud Security Posture Management", "Cloud Application Security", "Scheduled Alerts", "Other"}
CATEGORIES = {"Malware", "Ransomware", "Trojan", "Virus", "Worm", "Adware", "Spyware", "Rootkit", "Cryptominer", "Phishing", "Spam", "MaliciousUrl",
              "Spoofing", "Security Policy Violation", "Unknown"}


def look(event, part, key):
    inner = event.get(part)
    return inner.get(key) if isinstance(inner, dict) else None


def time(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).replace(tzinfo=None) if text else None


def expected(record):
    """The row of a record whose fields are of the types that SentinelOne gives them."""
    raw = record["Event"] if record["Format"] == "json" else {}
    row = {c: record[c] for c in ("Version", "ThreatId", "Console", "SourceName", "Format", "Truncated")}
    row["TimeGenerated"] = time(record["TimeGenerated"])
    row["UpdatedAt"] = time(look(raw, T, "updatedAt")) or row["TimeGenerated"]
    for column, fields in TEXTS.items():
        row[column] = next((v for v in (look(raw, *f) for f in fields) if v), "")
    for column, key in TIMES.items():
        row[column] = time(look(raw, T, key))
    row["FileSize"] = look(raw, T, "fileSize")
    return row


def transformation(lab, records):
    again = lab.transform_again(records)
    for i, record in enumerate(records):
        row, where = lab.transform(record), f"record {i} ({record['Format']})"
        if list(row) != list(again[i]) or set(row) != set(lab.queries.columns):
            yield f"{where}: columns {set(row) ^ set(lab.queries.columns)}, the engines' order {list(row) == list(again[i])}"
            continue
        if json.loads(again[i].pop("Event")) != row.pop("Event") or again[i] != row:
            yield f"{where}: the engines differ: {[(c, row[c], again[i][c]) for c in row if row[c] != again[i].get(c)]}"
        for column, want in expected(record).items():
            if row[column] != want:
                yield f"{where}: {column} is {row[column]!r}, want {want!r}"
        if record["Format"] != "json" and row["Severity"]:
            yield f"{where}: has a severity"
    moved = records[0] | {"TimeGenerated": "2020-01-01T00:00:00Z"}  # as where updatedAt is not the moment of the row
    bare = moved | {"Event": records[0]["Event"] | {T: {}}}
    got = [lab.transform(r)["UpdatedAt"] for r in (moved, bare)]
    if got != [time(look(moved["Event"], T, "updatedAt")), time(moved["TimeGenerated"])]:
        yield f"UpdatedAt is {got}"
    for (confidence, mitigation, incident, verdict, kind, failed), want in {
        ("malicious", "not_mitigated", "unresolved", "undefined", "Trojan", False): "high", ("malicious", "not_mitigated", "unresolved", "undefined", "Trojan", True): "critical",
        ("malicious", "not_mitigated", "in_progress", "true_positive", "Trojan", False): "critical", ("malicious", "not_mitigated", "unresolved", "undefined", "PUA", False): "medium",
        ("malicious", "mitigated", "unresolved", "undefined", "Trojan", False): "medium", ("malicious", "mitigated", "resolved", "undefined", "Trojan", False): "low",
        ("malicious", "not_mitigated", "unresolved", "false_positive", "Trojan", False): "informational", ("malicious", "marked_as_benign", "resolved", "undefined", "Trojan", False): "informational",
        ("suspicious", "not_mitigated", "unresolved", "true_positive", "Trojan", False): "high", ("suspicious", "not_mitigated", "unresolved", "undefined", "Trojan", False): "medium",
        ("suspicious", "mitigated", "unresolved", "undefined", "Trojan", False): "low", ("n/a", "not_mitigated", "resolved", "undefined", "Trojan", False): "low",
        ("n/a", "not_mitigated", "unresolved", "undefined", "Trojan", False): "medium",
    }.items():
        got = lab.transform(threat(confidenceLevel=confidence, mitigationStatus=mitigation, incidentStatus=incident, analystVerdict=verdict, classification=kind, failedActions=failed))["Severity"]
        if got != want:
            yield f"severity of {confidence}, {mitigation}, {incident}, {verdict}, {kind}, failed {failed}: {got}, want {want}"


NOON = datetime.datetime(2026, 11, 20, 12, 0)


def threat(id="1", at=NOON, created=None, version=None, console="console.example", agent="a1", host="PC-1", **info):
    """A record of a threat at a moment; what is named last goes into threatInfo."""
    stamp = lambda t: t.isoformat(timespec="microseconds") + "Z"
    info = {"threatName": "x.exe", "classification": "Trojan", "confidenceLevel": "malicious", "mitigationStatus": "not_mitigated", "incidentStatus": "unresolved",
            "analystVerdict": "undefined", "sha256": "ab" * 32, "filePath": "C:\\Users\\ada\\x.exe", "processUser": "CORP\\ada", "updatedAt": stamp(at), "createdAt": stamp(created or at)} | info
    event = {"id": id, "threatInfo": info, "agentRealtimeInfo": {"agentId": agent, "agentComputerName": host}, "agentDetectionInfo": {"agentDomain": "CORP", "siteName": "HQ"}, "indicators": []}
    return {"TimeGenerated": stamp(at), "Version": version or hashlib.md5(f"{console} {id} {info}".encode()).hexdigest(), "ThreatId": id, "Console": console, "SourceName": "prod",
            "Format": "json", "Event": event, "Truncated": False}


def minutes(n):
    return datetime.timedelta(minutes=n)


def history(lab):
    """Threats with more than one version, repeated and late; returns the newest version of each."""
    old = NOON - datetime.timedelta(days=3)
    lab.store([threat("1", NOON - minutes(60), version="1a")], NOON - minutes(59))
    lab.store([threat("1", NOON - minutes(30), version="1b", mitigationStatus="mitigated")], NOON - minutes(29))
    lab.store([threat("1", NOON - minutes(60), version="1a"), threat("1", NOON - minutes(30), version="1b", mitigationStatus="mitigated")], NOON - minutes(5))  # sent again
    # One updatedAt, two bodies: the later one counts.
    lab.store([threat("2", NOON - minutes(40), version="2a")], NOON - minutes(39))
    lab.store([threat("2", NOON - minutes(40), version="2b", mitigationStatus="mitigated")], NOON - minutes(38))
    # After an outage: the version of three days ago is given the time of receipt, which is later than the newer one's own.
    lab.store([threat("3", old, version="3a"), threat("3", NOON - minutes(1000), version="3b", incidentStatus="resolved")], NOON - minutes(3))
    lab.store([threat("1", NOON - minutes(20), version="4a", console="other.example")], NOON - minutes(19))  # the same id elsewhere
    return {"1b", "2b", "3b", "4a"}


def latest(lab):
    lab.empty()
    want = history(lab)
    rows = lab.query("SentinelOneThreatsLatest", NOON)
    got = sorted(r["Version"] for r in rows)
    if got != sorted(want):
        yield f"SentinelOneThreatsLatest gives {got}, want {sorted(want)}"


def parser(lab, records):
    name = "vimAlertEventSentinelOneS1stream"
    lab.empty()
    other = [r | {"ThreatId": r["ThreatId"] + "-" + r["Format"]} for r in records if r["Format"] != "json"]
    lab.store([r for r in records if r["Format"] == "json"] + other, time("2026-10-05T10:00:00Z"))
    rows = {r["EventUid"]: r for r in lab.query(name, NOON)}
    raw = {r["ThreatId"]: r for r in records if r["Format"] == "json"}
    if set(rows) != set(raw):
        yield f"{name}: threats {sorted(rows)}, want {sorted(raw)}"
    for id, record in raw.items():
        row, want = rows.get(id, {}), expected(record)
        names = lambda pick: ", ".join(sorted({n for i in record["Event"].get("indicators") or [] for t in i.get("tactics") or [] for n in pick(t)}))
        user = want["ProcessUser"] or want["LastLoggedInUser"]
        for column, value in {
            "EventCount": 1, "EventType": "Alert", "EventSchema": "AlertEvent", "EventSchemaVersion": "0.1", "EventVendor": "SentinelOne", "EventProduct": "Singularity",
            "EventOriginalUid": record["Version"], "EventStartTime": want["IdentifiedAt"] or want["CreatedAt"], "EventEndTime": want["UpdatedAt"], "AlertId": id, "ThreatId": id,
            "EventReportUrl": f"https://console.example/incidents/threats/{id}/overview", "AlertName": want["ThreatName"], "ThreatOriginalCategory": want["Classification"],
            "AlertStatus": "Closed" if want["IncidentStatus"] == "resolved" else "Active", "AlertOriginalStatus": want["IncidentStatus"],
            "DvcHostname": want["AgentComputerName"], "DvcIpAddr": want["AgentIpV4"].split(",")[0], "DvcId": want["AgentId"], "Username": user, "User": user,
            "UsernameType": "Windows" if "\\" in user else "Simple" if user else "", "FileSHA1": want["Sha1"], "FileSHA256": want["Sha256"], "FileMD5": want["Md5"], "FilePath": want["FilePath"],
            "FileName": re.split(r"[\\/]", want["FilePath"])[-1], "FileSize": want["FileSize"], "ProcessCommandLine": want["CommandLine"],
            "AttackTactics": names(lambda t: [t["name"]]), "AttackTechniques": names(lambda t: [q["name"] for q in t["techniques"]]),
            "DvcDomain": "" if want["AgentDomain"] == "unknown" else want["AgentDomain"], "ThreatOriginalConfidence": want["ConfidenceLevel"],
        }.items():
            if row.get(column) != value:
                yield f"{name}: {id}: {column} is {row.get(column)!r}, want {value!r}"
        for column, words in {"AlertVerdict": VERDICTS, "EventSeverity": SEVERITIES, "DetectionMethod": METHODS, "ThreatCategory": CATEGORIES,
                              "EventSubType": {"Threat", "Suspicious Activity", "Anomaly", "Compliance Violation"}, "DvcDomainType": {"", "Windows", "FQDN"},
                              "IndicatorType": {"File", "Process"}, "IndicatorAssociation": {"Associated", "Targeted"}}.items():
            if row.get(column) not in words:
                yield f"{name}: {id}: {column} is {row.get(column)!r}"
    # Each filter lets some through and not others.
    whole = len(rows)
    for arguments in (
        {"starttime": "datetime(2026-10-05T08:00:00Z)"}, {"endtime": "datetime(2026-10-05T08:00:00Z)"}, {"ipaddr_has_any_prefix": 'dynamic(["10.27.172.151"])'},
        {"hostname_has_any": 'dynamic(["EXE-LT-0930", "else"])'}, {"username_has_any": 'dynamic(["mina.harker"])'}, {"attacktactics_has_any": 'dynamic(["Persistence"])'},
        {"attacktechniques_has_any": 'dynamic(["T1059.001"])'}, {"threatcategory_has_any": 'dynamic(["Ransomware"])'}, {"alertverdict_has_any": 'dynamic(["True Positive"])'},
        {"eventseverity_has_any": 'dynamic(["High"])'},
    ):
        got = len(lab.query(name, NOON, **arguments))
        if not 0 < got < whole:
            yield f"{name}: {arguments} gives {got} of {whole}"
    if lab.query(name, NOON, disabled="true"):
        yield f"{name}: disabled, and gives rows"
    lab.empty()
    want = history(lab)
    got = sorted(r["EventOriginalUid"] for r in lab.query(name, NOON))
    if got != sorted(want):
        yield f"{name}: versions {got}, want {sorted(want)}"
    for verdict, word in {"true_positive": "True Positive", "false_positive": "False Positive", "suspicious": "Unknown"}.items():
        lab.empty()
        lab.store([threat(analystVerdict=verdict)], NOON)
        if [r["AlertVerdict"] for r in lab.query(name, NOON)] != [word]:
            yield f"{name}: {verdict} is not {word}"


def not_mitigated(lab):
    for what, alerts, steps in (
        ("open for 20 minutes", False, [(threat(at=NOON - minutes(20)), 20)]),
        ("open for 31 minutes", True, [(threat(at=NOON - minutes(31)), 31)]),
        ("open since yesterday, told of already", False, [(threat(at=NOON - minutes(1400)), 1400)]),
        ("open since yesterday, arrived just now", True, [(threat(at=NOON - minutes(1400)), 2)]),
        ("open since yesterday, changed just now", True, [(threat(at=NOON - minutes(1400)), 1400), (threat(at=NOON - minutes(3), created=NOON - minutes(1400), incidentStatus="in_progress"), 2)]),
        ("mitigated after 10 minutes", False, [(threat(at=NOON - minutes(35)), 35), (threat(at=NOON - minutes(25), created=NOON - minutes(35), mitigationStatus="mitigated"), 25)]),
        ("resolved by an analyst", False, [(threat(at=NOON - minutes(35), incidentStatus="resolved"), 35)]),
        ("a false positive", False, [(threat(at=NOON - minutes(35), analystVerdict="false_positive"), 35)]),
        ("benign", False, [(threat(at=NOON - minutes(35), mitigationStatus="marked_as_benign"), 35)]),
        ("suspicious only", False, [(threat(at=NOON - minutes(35), confidenceLevel="suspicious"), 35)]),
    ):
        lab.empty()
        for record, ago in steps:
            lab.store([record], NOON - minutes(ago))
        rows = lab.query("not-mitigated", NOON)
        if (len(rows) == 1) != alerts or len(rows) > 1:
            yield f"not mitigated: {what}: {len(rows)} alerts"
        for r in rows:
            got = (r["AccountName"], r["AccountDomain"], r["FileName"], r["FileDirectory"], r["HashAlgorithm"], r["HashValue"], r["HostDomain"], r["AlertSeverity"])
            if got != ("ada", "CORP", "x.exe", "C:\\Users\\ada", "SHA256", "ab" * 32, "CORP", "High"):
                yield f"not mitigated: {what}: entities {got}"


def same_file(lab):
    seen = lambda n, ago=5, id=None, **info: threat(id or f"t{n}", at=NOON - minutes(ago), agent=f"a{n}", host=f"PC-{n}", **info)
    for what, alerts, records in (
        ("three computers", True, [seen(1), seen(2), seen(3)]),
        ("two computers", False, [seen(1), seen(2)]),
        ("three threats of one computer", False, [seen(1, id="x"), seen(1, id="y"), seen(1, id="z")]),
        ("three files", False, [seen(n, sha256=str(n) * 64) for n in (1, 2, 3)]),
        ("one of three is benign", False, [seen(1), seen(2), seen(3, mitigationStatus="marked_as_benign")]),
        ("one of three is a false positive", False, [seen(1), seen(2), seen(3, analystVerdict="false_positive")]),
        ("no hash", False, [seen(n, sha256=None) for n in (1, 2, 3)]),
        ("by SHA-1, in another case", True, [seen(n, sha256=None, sha1=h * 40) for n, h in ((1, "a"), (2, "A"), (3, "a"))]),
        ("three computers, an hour ago", False, [seen(n, ago=60) for n in (1, 2, 3)]),
        ("two an hour ago, the third just now", True, [seen(1, ago=60), seen(2, ago=60), seen(3, ago=4)]),
    ):
        lab.empty()
        for r in records:
            lab.store([r], time(r["TimeGenerated"]) + minutes(1))
        rows = lab.query("same-file", NOON)
        if len(rows) != alerts:
            yield f"same file: {what}: {len(rows)} alerts"
        for r in rows:
            if sorted([r["HostA"], r["HostB"], r["HostC"]]) != ["PC-1", "PC-2", "PC-3"] or r["Agents"] != 3 or r["NotMitigated"] != 3:
                yield f"same file: {what}: {r}"


# OCSF's severity_id of a threat, as sink/format gave it, in the words of the column.
SEVERITY_IDS = {0: "medium", 1: "informational", 2: "low", 3: "medium", 4: "high", 5: "critical"}


def corpus(lab, folder):
    """The transformation over hostile threats: a row for each, texts unchanged, the severity that the formats give it."""
    lines = lambda name: (folder / name).read_bytes().split(b"\n")[:-1]
    for raw, identity, ocsf, name in zip(*map(lines, ("threats.ndjson", "events.ndjson", "ocsf.ndjson", "names.txt")), strict=True):
        event, identity = json.loads(raw.decode(errors="replace")), json.loads(identity.decode(errors="replace"))
        at = datetime.datetime.fromtimestamp(identity["updatedAt"] / 1000, datetime.timezone.utc).isoformat(timespec="milliseconds")
        record = {"TimeGenerated": at, "Version": identity["version"], "ThreatId": identity["id"], "Console": "console.example", "SourceName": "corpus",
                  "Format": "json", "Event": event, "Truncated": False}
        row = lab.transform(record)
        for column, fields in TEXTS.items():
            value = next((v for v in (look(event, *f) for f in fields) if v not in (None, "")), "")
            if isinstance(value, str) and row[column] != value:
                yield f"{name.decode()}: {column} is {row[column]!r:.80}, want {value!r:.80}"
        want = SEVERITY_IDS[json.loads(ocsf.decode(errors="replace"))["severity_id"]]
        # A failedActions that is the text "true" counts here and not in the formats; no console sends one.
        if row["Severity"] != want and look(event, T, "failedActions") != "true":
            yield f"{name.decode()}: Severity is {row['Severity']}, want {want}"
        if row["UpdatedAt"] is None or set(row) != set(lab.queries.columns):
            yield f"{name.decode()}: no UpdatedAt, or not the columns"
