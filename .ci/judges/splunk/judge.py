"""Judges deploy/siem/splunk: the package by AppInspect, the fields of events by the data models of Splunk's own
pytest-splunk-addon, and every expression by PCRE2, the kind of engine that Splunk has, within Splunk's limits.

    judge.py DIR        DIR: where `go test ./internal/splunkaddon -args -splunk.dir=DIR` has written

Each is shown something broken first. requirements.txt and models.txt say what it needs.
"""

import importlib.util
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import pcre2

HOME = pathlib.Path("deploy/siem/splunk")
failed = 0


def fault(text):
    global failed
    failed += 1
    print("splunk:", text)


def section(judged, *arguments):
    """Says what was shown, unless something was wrong."""
    before = failed
    shown = judged(*arguments)
    if failed == before:
        print("splunk:", shown)


# --- the package ----------------------------------------------------------------------------------------------------


def pack(sources, work):
    """Packs as README.md says, so that what it says is what is judged."""
    commands = re.findall(r"^tar .*$", (HOME / "README.md").read_text(), re.M)
    assert len(commands) == 1, "README.md has one line that packs the add-on"
    command = commands[0].replace(str(HOME), str(sources))
    assert command != commands[0]
    subprocess.run(command, shell=True, cwd=work, check=True)
    return work / "TA-s1stream.tgz"


def inspect(package, work):
    """Returns what AppInspect did not pass, by check, and how many it passed. Its exit code says nothing."""
    report = work / "report.json"
    tool = pathlib.Path(sys.executable).with_name("splunk-appinspect")
    subprocess.run(
        [tool, "inspect", package, "--mode", "precert", "--data-format", "json", "--output-file", report],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
    )
    report = json.loads(report.read_text())
    bad = {}
    for r in report["reports"]:
        for check in (c for group in r["groups"] for c in group["checks"]):
            if check["result"] not in ("success", "not_applicable"):
                bad[check["name"]] = check["result"] + ": " + "; ".join(m["message"] for m in check["messages"])[:300]
    return bad, report["summary"]["success"]


# What is done to a copy, and the checks that must notice.
BROKEN = {
    "check_limits_conf": lambda d: (d / "default/limits.conf").write_text("[spath]\nextraction_cutoff = 100000\n"),
    "check_that_local_does_not_exist": lambda d: ((d / "local").mkdir(), (d / "local/props.conf").write_text("[a]\nKV_MODE = json\n")),
    "check_config_file_parsing": lambda d: (d / "default/tags.conf").open("a").write("[eventtype=s1stream_threat]\nmalware = enabled\n"),
}


def package(work):
    broken = work / "broken"
    shutil.copytree(HOME, broken)
    for change in BROKEN.values():
        change(broken / "TA-s1stream")
    bad, _ = inspect(pack(broken, work), work)
    for check in BROKEN:
        if check not in bad:
            fault(f"AppInspect approves of a broken add-on: {check} is silent, only {sorted(bad)} are not")
    bad, passed = inspect(pack(HOME.resolve(), work), work)
    for check, words in bad.items():
        fault(f"{check}: {words}")
    if passed < 90:
        fault(f"AppInspect passed {passed} checks, which is too few to have looked")
    return f"AppInspect passed {passed} checks of the add-on and refused a broken one"


# --- the data models ------------------------------------------------------------------------------------------------


def models():
    """The fields of Malware_Attacks and Alerts: by name, whether they are required, and their values."""
    where = pathlib.Path(importlib.util.find_spec("pytest_splunk_addon").submodule_search_locations[0]) / "data_models"
    out = {}
    for file, name in (("Malware", "Malware Attacks"), ("Alerts", "Alerts")):
        model = json.loads((where / f"{file}.json").read_text())
        dataset = next(o for o in model["objects"] if o["name"] == name)
        out[name] = (dataset["tags"][0], dataset["fields"])
    return out


def against_models(fields, whole, datasets):
    """What is wrong with an event's fields. whole: every required field has to be there."""
    for name, (tags, wanted) in datasets.items():
        for tag in tags:
            if tag not in fields.get("tag", []):
                yield f"{name}: no tag {tag}"
        for want in wanted:
            values = fields.get(want["name"])
            if values is None:
                if whole and want["type"] == "required":
                    yield f"{name}: no {want['name']}"
                continue
            for v in values if isinstance(values, list) else [values]:
                if v in (None, "") or "expected_values" in want and v not in want["expected_values"]:
                    yield f"{name}: {want['name']} is {v!r}"


def fields(directory):
    datasets = models()
    golden = json.loads((directory / "splunk-golden.json").read_text())
    example = golden["json"]["sample 0"]
    for change in ({"action": "quarantined"}, {"severity": "High"}, {"signature": None}, {"tag": ["malware", "alert"]}, {"type": "notable"}):
        broken = {k: v for k, v in {**example, **change}.items() if v is not None}
        if not list(against_models(broken, True, datasets)):
            fault(f"the data models approve of an event with {change}")
    n = 0
    for form, events in golden.items():
        for name, event in events.items():
            n += 1
            for wrong in against_models(event, True, datasets):
                fault(f"{form}, {name}: {wrong}")
    hostile = 0
    for line in (directory / "splunk-hostile.ndjson").open():
        event = json.loads(line)
        hostile += 1
        for wrong in against_models(event["fields"], False, datasets):
            fault(f"{event['format']}, {event['name']}: {wrong}")
    if n < 10 or hostile < 4500:
        fault(f"{n} golden and {hostile} hostile events are too few")
    return f"{n} golden events have every required field of {' and '.join(datasets)}; {hostile} hostile ones have no value that is not prescribed"


# --- the expressions ------------------------------------------------------------------------------------------------


def matches(m, text):
    """What PCRE2 finds, as Go wrote it: named groups, or else all of them."""
    # Without its just-in-time compiler, for that does not count steps as the limits mean it.
    pattern = f"(*NO_JIT)(*LIMIT_MATCH={m['match_limit']})(*LIMIT_DEPTH={m['depth_limit']})(?ms){m['regex']}"
    found = []
    for hit in pcre2.compile(pattern.encode()).finditer(text.encode()):
        groups = hit.groupdict() or dict(enumerate(hit.groups(), 1))
        found.append({str(k): (v or b"").decode() for k, v in groups.items()})
        if m["once"]:
            break
    return found


def expressions(directory):
    for broken in (r"(?<open>", r"(?<a>x+)*+\1("):
        try:
            pcre2.compile(broken.encode())
            fault(f"PCRE2 takes {broken}")
        except pcre2.PatternError:
            pass
    greedy = {"regex": r"((?:[^\\=]|\\.)*)=", "match_limit": 100000, "depth_limit": 1000, "once": True}
    try:
        matches(greedy, "a" * 4000 + "=")
        fault("an expression of thousands of steps is within the limits")
    except pcre2.LibraryError:
        pass
    texts = [json.loads(line) for line in (directory / "splunk-texts.ndjson").open()]
    compared, names, longest = 0, set(), 0
    for line in (directory / "splunk-matches.ndjson").open():
        m = json.loads(line)
        compared += 1
        if m["found"]:
            names.add(m["name"])
        longest = max(longest, len(texts[m["text"]]))
        try:
            got = matches(m, texts[m["text"]])
        except pcre2.LibraryError as e:
            fault(f"{m['name']}: {e} on {texts[m['text']][:200]}")
            continue
        if got != (m["found"] or []):
            fault(f"{m['name']}: PCRE2 finds {got} and Go {m['found']} in {texts[m['text']][:200]}")
    unmatched = {json.loads(line)["name"] for line in (directory / "splunk-matches.ndjson").open()} - names
    if unmatched or compared < 2000:
        fault(f"{compared} comparisons; nothing fits {sorted(unmatched)}")
    return f"{len(names)} expressions find the same with PCRE2 as in Go, {compared} times, in texts of up to {longest} characters, within Splunk's limits"


with tempfile.TemporaryDirectory() as work:
    section(package, pathlib.Path(work).resolve())
section(fields, pathlib.Path(sys.argv[1]))
section(expressions, pathlib.Path(sys.argv[1]))
sys.exit(failed > 0)
