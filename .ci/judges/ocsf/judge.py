"""Judges OCSF events without network, by the schema that ocsf-json-schema carries.

    judge.py DIR [event.json ...]

DIR is what `go test ./sink/format -run TestCorpus -args -corpus.dir=DIR` wrote. Each event must be valid by the
schema of its own profiles and by what the schema says in words alone (version, type_uid, captions), must be the one
event of its threat, and must hold the threat's fields unchanged. In the same run, events broken on purpose must be
found, each by its own fault: a judge that approves of everything fails.
"""
import copy
import functools
import json
import multiprocessing
import pathlib
import re
import sys

import jsonschema
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

VERSION = "1.8.0"
RAW = get_ocsf_schema(version=VERSION)
EMBEDDED = OcsfJsonSchemaEmbedded(RAW)

# What the schema says in words: dispositions that go with an action.
PAIRS = {0: {0}, 1: {1, 8, 10, 14, 16, 20}, 2: {2, 3, 4, 5, 6, 24, 25}, 3: {13, 15, 16, 17, 19}, 4: {9, 11, 12, 14, 22, 18}}

# Text fields of an event and the threat's field that they hold, where that is a text; the first one given counts.
TEXTS = {
    "finding_info.title": ["threatInfo.threatName"],
    "finding_info.uid_alt": ["threatInfo.storyline"],
    "finding_info.types[0]": ["threatInfo.classification"],
    "metadata.original_time": ["threatInfo.createdAt"],
    "metadata.tenant_uid": ["agentRealtimeInfo.accountId", "agentDetectionInfo.accountId"],
    "status_detail": ["threatInfo.mitigationStatusDescription", "threatInfo.mitigationStatus"],
    "evidences[0].file.path": ["threatInfo.filePath"],
    "evidences[0].file.ext": ["threatInfo.fileExtension"],
    "unmapped.threatInfo.initiatedBy": ["threatInfo.initiatedBy"],
    "unmapped.threatInfo.mitigationStatus": ["threatInfo.mitigationStatus"],
    "unmapped.threatInfo.collectionId": ["threatInfo.collectionId"],
    "unmapped.kubernetesInfo.pod": ["kubernetesInfo.pod"],
    "unmapped.agentDetectionInfo.externalIp": ["agentDetectionInfo.externalIp"],
}
# The same within objects that need one of several fields: compared where the object is there.
DEVICE = {
    "device.hostname": ["agentRealtimeInfo.agentComputerName"],
    "device.uid": ["agentRealtimeInfo.agentId"],
    "device.uid_alt": ["agentRealtimeInfo.agentUuid"],
    "device.domain": ["agentRealtimeInfo.agentDomain"],
    "device.os.build": ["agentRealtimeInfo.agentOsRevision"],
}
PROCESS = {
    "evidences[0].process.name": ["threatInfo.originatorProcess"],
    "evidences[0].process.cmd_line": ["threatInfo.maliciousProcessArguments"],
}


@functools.cache
def validator(class_name, profiles):
    schema = EMBEDDED.get_class_schema(class_name, profiles=list(profiles))
    return jsonschema.Draft202012Validator(schema)


def captions(obj, attributes, path=""):
    """An x_id with an enumeration must agree with its caption; 99 is Other, and its caption free."""
    for key, value in obj.items():
        a = attributes.get(key)
        if a is None:
            continue
        sibling, enum = a.get("sibling"), a.get("enum")
        if sibling in obj and enum and value != 99:
            values, names = (value, obj[sibling]) if isinstance(value, list) else ([value], [obj[sibling]])
            for v, name in zip(values, names):
                want = enum.get(str(v), {}).get("caption")
                if want is not None and name != want:
                    yield f"{path}{sibling}: {name!r}, but {key}={v} is {want!r}"
        if a.get("type") == "object_t" and a["object_type"] in RAW["objects"]:
            inner = RAW["objects"][a["object_type"]]["attributes"]
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, dict):
                    yield from captions(item, inner, f"{path}{key}.")


def faults(event):
    """What is wrong with one event by the schema and its words."""
    uid = event.get("class_uid")
    if uid != 2004:
        yield "class_uid: must be 2004"
        return
    name = EMBEDDED.lookup_class_name_from_uid(uid)
    meta = event.get("metadata") if isinstance(event.get("metadata"), dict) else {}
    profiles = tuple(str(p) for p in meta.get("profiles", []))
    for p in profiles:
        if p not in RAW["profiles"]:
            yield f"metadata.profiles: {p!r} is no profile"
            return
    for e in validator(name, profiles).iter_errors(event):
        yield f"{'/'.join(map(str, e.absolute_path))}: {e.message[:160]}"
    if meta.get("version") != VERSION:
        yield f"metadata.version: must be {VERSION}"
    if event.get("type_uid") != uid * 100 + event.get("activity_id", 0):
        yield "type_uid: must be class_uid*100+activity_id"
    if "action_id" in event and event.get("disposition_id") not in PAIRS.get(event["action_id"], set()):
        yield f"disposition_id: {event.get('disposition_id')} does not go with action_id {event['action_id']}"
    for file in (e.get("file") for e in event.get("evidences", []) if isinstance(e, dict)):
        for h in (file or {}).get("hashes", []):
            # The schema has no pattern for a hash.
            if not is_hash(h.get("value", ""), h.get("algorithm_id")):
                yield f"hashes: {h.get('value', '')[:80]!r} is not of algorithm {h.get('algorithm_id')}"
    yield from captions(event, RAW["classes"][name]["attributes"])


def is_hash(value, algorithm):
    return re.fullmatch(r"[0-9a-fA-F]{%d}" % {1: 32, 2: 40, 3: 64}.get(algorithm, 0), value) is not None


def look(obj, path):
    for part in re.findall(r"[^.\[\]]+", path):
        if isinstance(obj, list):
            obj = obj[int(part)] if int(part) < len(obj) else None
        else:
            obj = obj.get(part) if isinstance(obj, dict) else None
    return obj


def plain(text):
    """Where bytes are no text, or half a pair, the number of replacement characters is anybody's choice."""
    return re.sub("[\ud800-\udfff\ufffd]+", "\ufffd", text)


def given(threat, paths):
    for p in paths:
        v = look(threat, p)
        if isinstance(v, str) and v:
            return plain(v)
    return None


def differences(threat, event, id_and_version):
    """What is not the same in a threat and its whole event."""
    if {plain(look(event, p) or "") for p in ("finding_info.uid", "metadata.original_event_uid")} != {plain(id_and_version["id"])}:
        yield "finding_info.uid: not the event's id"
    if look(event, "metadata.uid") != id_and_version["version"]:
        yield "metadata.uid: not the event's version"
    if look(event, "finding_info.modified_time") != id_and_version["updatedAt"]:
        yield "finding_info.modified_time: not updatedAt"
    fields = dict(TEXTS)
    if "device" in event:
        fields.update(DEVICE)
    elif given(threat, ["agentRealtimeInfo.agentComputerName"]) or given(threat, ["agentRealtimeInfo.agentId"]):
        yield "device: missing"
    if look(event, "evidences[0].process"):
        fields.update(PROCESS)
    if not look(event, "evidences[0].file"):
        fields = {k: v for k, v in fields.items() if not k.startswith("evidences[0].file")}
    for path, sources in fields.items():
        got, want = look(event, path), given(threat, sources)
        if (plain(got) if isinstance(got, str) else got) != want:
            yield f"{path}: {got!r:.80}, the threat has {want!r:.80}"
    if event.get("evidences") and "file" in event["evidences"][0]:
        values = {k: look(threat, "threatInfo." + k) for k in ("md5", "sha1", "sha256")}
        want = {v for i, (k, v) in enumerate(values.items(), 1) if isinstance(v, str) and is_hash(v, i)}
        if {plain(h["value"]) for h in look(event, "evidences[0].file.hashes") or []} != want:
            yield "hashes: not the threat's"
    yield from attacks(threat, event)


def attacks(threat, event):
    want = set()
    for i in lists(threat, "indicators"):
        for t in lists(i, "tactics"):
            name = text(t, "name")
            for q in lists(t, "techniques") or [{}]:
                want.add((name, text(q, "name")))
    want -= {(None, None)}
    got = set()
    for a in look(event, "finding_info.attacks") or []:
        q = a.get("sub_technique") or a.get("technique") or {}
        uid = q.get("uid") or q.get("name")
        got.add((plain(look(a, "tactic.name") or "") or None, plain(uid or "") or None))
    if len(want) < 500 and got != want:
        yield f"finding_info.attacks: {sorted(map(str, got ^ want))[:3]}"


def lists(obj, key):
    v = obj.get(key) if isinstance(obj, dict) else None
    return v if isinstance(v, list) else []


def text(obj, key):
    v = obj.get(key) if isinstance(obj, dict) else None
    return plain(v) if isinstance(v, str) and v else None


def broken(event):
    """Copies of a good event with one fault each: its name, and what the fault must be about."""
    def with_(path, value):
        e = copy.deepcopy(event)
        *parents, last = re.findall(r"[^.\[\]]+", path)
        o = e
        for p in parents:
            o = o[int(p)] if isinstance(o, list) else o[p]
        last = int(last) if isinstance(o, list) else last
        if value is None:
            del o[last]
        else:
            o[last] = value
        return e

    for path, value, about in [
        ("time", None, "time"), ("time", "2026-11-21T13:06:44Z", "time"), ("severity_id", 9, "severity_id"),
        ("severity", "Fatal", "severity"), ("metadata.version", "1.7.0", "version"), ("metadata.product", None, "product"),
        ("metadata.profiles", ["host"], "disposition"), ("metadata.profiles", ["host", "sekurity"], "profile"),
        ("finding_info.uid", None, "uid"), ("finding_info.uid", 2316604981177352196, "uid"), ("device.ip", "10.0.0.1,10.0.0.2", "ip"),
        ("device.network_interfaces[0].mac", "02005E107A3C", "mac"), ("device.type_id", None, "type_id"), ("type_uid", 200499, "type_uid"),
        ("status", "Closed", "status"), ("disposition_id", 1, "disposition_id"), ("evidences[0].file.name", None, "name"),
        ("evidences[0].file.size", "413696", "size"), ("evidences[0].process.uid", None, "process"), ("observables[0].type_id", None, "type_id"),
        ("evidences[0].file.hashes[0].value", "abc", "hashes"), ("malware[0].classification_ids", ["Trojan"], "classification_ids"),
        ("finding_info.attacks[0]", {"version": "19"}, "attacks"), ("threat_name", "x", "threat_name"), ("is_alert", "true", "is_alert"),
        ("class_uid", 2001, "class_uid"), ("device.os.name", None, "name"), ("tickets[0]", {"type_id": 2}, "tickets"),
    ]:
        yield path, about, with_(path, value)


def judge(job):
    name, threat, event, id_and_version = job
    try:
        e = json.loads(event)
    except ValueError as err:
        return [f"{name}: {err}"]
    out = list(faults(e))
    if not out and threat is not None:
        out = list(differences(json.loads(threat.decode("utf-8", "replace")), e, id_and_version))
    return [f"{name}: {f}" for f in out]


def read(path):
    return path.read_bytes().split(b"\n")[:-1]


def jobs(directory):
    threats, names = read(directory / "threats.ndjson"), read(directory / "names.txt")
    identities = [json.loads(line) for line in read(directory / "events.ndjson")]
    for file in sorted(directory.glob("ocsf*.ndjson")):
        numbers = [int(n) for n in read(file.with_suffix(".index"))]
        if file.stem == "ocsf" and numbers != list(range(len(threats))):
            sys.exit(f"{file}: not one event of each threat")
        events = read(file)
        if len(events) != len(numbers):
            sys.exit(f"{file}: {len(events)} events of {len(numbers)} threats")
        for n, event in zip(numbers, events):
            whole = "small" not in file.name
            yield f"{file.name}: {names[n].decode('utf-8', 'replace')}", threats[n] if whole else None, event, identities[n]


def main(directory, *files):
    found, n = [], 0
    with multiprocessing.Pool(2) as pool:
        for out in pool.imap_unordered(judge, jobs(pathlib.Path(directory)), chunksize=50):
            n += 1
            found += out
    for f in files:
        n += 1
        found += judge((f, None, pathlib.Path(f).read_bytes(), None))
    missed, tried = [], 0
    good = json.loads(read(pathlib.Path(directory) / "ocsf.ndjson")[0])
    for name, about, event in broken(good):
        tried += 1
        if not any(about in fault for fault in faults(event)):
            missed.append(f"a broken example passed, or failed for another reason: {name}")
    # An event beside its own threat with one field changed, and beside another's identity.
    threat = json.loads(read(pathlib.Path(directory) / "threats.ndjson")[0])
    identities = [json.loads(line) for line in read(pathlib.Path(directory) / "events.ndjson")[:2]]
    for name, path in {"a text": "threatInfo.storyline", "a hash": "threatInfo.sha1", "a technique": "indicators[1].tactics[0].name"}.items():
        tried += 1
        other = copy.deepcopy(threat)
        *parents, last = path.rsplit(".", 1)
        look(other, parents[0])[last] = "0" * 40
        if list(differences(threat, good, identities[0])) or not list(differences(other, good, identities[0])):
            missed.append(f"an event of another threat passed: {name}")
    tried += 1
    if not list(differences(threat, good, identities[1])):
        missed.append("an event of another identity passed")
    for line in (found + missed)[:50]:
        print(line)
    print(f"ocsf: {n} events, {len(found)} faults; {tried - len(missed)} of {tried} broken examples found")
    return 1 if found or missed or n == 0 else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
