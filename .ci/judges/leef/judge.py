"""Judges LEEF by reading it back with syslog-ng's csv-parser and kv-parser, as a receiver would.

    judge.py DIR SYSLOG_NG

DIR is what `go test ./sink/format -run TestCorpus -args -corpus.dir=DIR` wrote: in leef.ndjson a line and what it was
meant to say. SYSLOG_NG is where syslog-ng is unpacked or "/". Header and attributes must come back exactly, one event
for one line.

kv-parser is looser than LEEF in two things, which sink/format/leef_test.go reads instead: " word=" within a value
begins another key, and a value that begins with a quote is unquoted. Attributes with such values are taken from a
line before it is sent. In the same run, lines broken on purpose must not come back as they were meant: a judge that
approves of everything fails.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

CONFIG = """@version: 3.38
options { log-msg-size(1048576); keep-hostname(yes); stats-freq(0); };
source s { stdin(flags(no-parse)); };
parser header { csv-parser(columns("H.leef", "H.vendor", "H.product", "H.version", "H.id", "H.delimiter", "H.rest")
    delimiters(chars("|")) flags(greedy) quote-pairs('') dialect(escape-none)); };
parser attributes { kv-parser(prefix("L.") pair-separator("\\t") template("${H.rest}")); };
destination d { file("@OUT@" template("$(format-json --key H.* --key L.* --exclude H.rest)\\n")); };
log { source(s); parser(header); parser(attributes); destination(d); };
"""
LOOSE = re.compile(r"""^["']|[ ,"'][^ ="']*=|^[^ =]*=""")
BREAKS = {
    "a delimiter within a value": lambda l: l.replace("threatName=", "threatName=a\tb=c", 1),
    "a bar in the header": lambda l: l.replace("|1.0|", "|1.0|x|", 1),
    "an attribute that is missing": lambda l: re.sub("\tsha256=[^\t]*", "", l),
    "another value": lambda l: l.replace("sev=", "sev=1", 1),
}


def receive(root, lines, directory):
    """Returns what syslog-ng makes of lines."""
    out, config = directory / "out", directory / "conf"
    config.write_text(CONFIG.replace("@OUT@", str(out)))
    program = [root / "usr/sbin/syslog-ng", "-F", "--no-caps", "-f", config, f"--persist-file={directory}/persist",
               f"--control={directory}/ctl", f"--pidfile={directory}/pid"]
    env = dict(os.environ)
    lib = root / "usr/lib/syslog-ng"
    if str(root) != "/":
        modules = next(lib.glob("[0-9]*"))
        program.append(f"--module-path={modules}")
        multiarch = [*(root / "usr/lib").glob("*-linux-gnu*"), *(root / "lib").glob("*-linux-gnu*")]
        env["LD_LIBRARY_PATH"] = ":".join(map(str, [lib, modules, *multiarch]))
    subprocess.run(program, input="".join(line + "\n" for line in lines).encode(), env=env, check=True, timeout=120, stdout=subprocess.DEVNULL)
    return [json.loads(line) for line in out.read_text(encoding="utf-8").split("\n") if line]


def strict(record):
    """Returns a record's line and attributes without those that kv-parser misreads, and how many these are."""
    head, rest = record["line"].split("|x09|", 1)
    keep = {k: v for k, v in record["attributes"].items() if not LOOSE.search(v)}
    pairs = [p for p in rest.split("\t") if p.split("=", 1)[0] in keep]
    return head + "|x09|" + "\t".join(pairs), keep, len(record["attributes"]) - len(keep)


def same(got, identity, attributes):
    header = {"leef": "LEEF:2.0", "vendor": "SentinelOne", "product": "Singularity", "version": "1.0", "id": identity, "delimiter": "x09"}
    return got.get("H") == header and got.get("L") == attributes


def main(directory, root):
    with open(pathlib.Path(directory) / "leef.ndjson", encoding="utf-8") as records:
        records = [json.loads(text) for text in records]
    sent = [strict(record) for record in records]
    broken = [damage(sent[0][0]) for damage in BREAKS.values()]
    with tempfile.TemporaryDirectory() as scratch:
        got = receive(pathlib.Path(root), [line for line, _, _ in sent] + broken, pathlib.Path(scratch))
    if len(got) != len(sent) + len(broken):
        sys.exit(f"syslog-ng made {len(got)} events of {len(sent) + len(broken)} lines")
    wrong = 0
    for record, (line, attributes, _), event in zip(records, sent, got):
        if not same(event, record["id"], attributes):
            wrong += 1
            if wrong <= 5:
                difference = {k: (attributes.get(k), event.get("L", {}).get(k)) for k in {*attributes, *event.get("L", {})} if attributes.get(k) != event.get("L", {}).get(k)}
                print("MISMATCH", record["name"], str(difference)[:1500], str(event.get("H"))[:300], sep="\n  ")
    for name, line, event in zip(BREAKS, broken, got[len(sent):]):
        if line == sent[0][0] or same(event, records[0]["id"], sent[0][1]):
            sys.exit(f"syslog-ng approves of {name}: it judges nothing")
    whole, left = sum(len(r["attributes"]) for r in records), sum(n for _, _, n in sent)
    print(f"syslog-ng: {len(sent)} lines, {wrong} mismatches; {whole - left} of {whole} attributes compared, {left} are loose; every broken line found")
    return wrong > 0 or not sent


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
