"""Judges CEF by reading it back with an independent parser, cefp.

    judge.py DIR

DIR is what `go test ./sink/format -run TestCorpus -args -corpus.dir=DIR` wrote: in cef.ndjson a line and what it was
meant to say. Each must come back exactly. cefp does not complain of an escape that is missing, so comparing is what
proves something; in the same run, lines broken on purpose must not come back: a judge that approves of everything
fails.
"""
import json
import pathlib
import sys

import cefp

BREAKS = {
    "a sign of equality that is not escaped": lambda l: l.replace("|rt=", "|msg=a b=c rt=", 1),
    "a bar in the header that is not escaped": lambda l: l.replace("|s1.threat.", "|x|s1.threat.", 1),
    "a backslash that is not escaped": lambda l: l.replace("externalId=", "externalId=\\n", 1),
    "a key that is missing": lambda l: l.replace(" externalId=", " ", 1),
    "another severity": lambda l: l.replace("|rt=", "0|rt=", 1),
    "no CEF at all": lambda l: l[1:],
}


def read(line):
    """Returns the six header values and the extension, or the error."""
    try:
        event = cefp.parse(line)
    except ValueError as error:
        return str(error), None
    device = event["device"]
    return [device["vendor"], device["product"], device["version"], device["event_class_id"], event["name"], event["severity"]], event["extension"]


def main(directory):
    lines = wrong = found = 0
    with open(pathlib.Path(directory) / "cef.ndjson", encoding="utf-8") as records:
        for text in records:
            record = json.loads(text)
            lines += 1
            meant = (record["header"], record["ext"])
            if read(record["line"]) != meant:
                wrong += 1
                if wrong <= 5:
                    print("MISMATCH", record["name"], record["line"][:1000], str(read(record["line"]))[:1000], sep="\n  ")
            if lines == 1:
                for name, damage in BREAKS.items():
                    broken = damage(record["line"])
                    if broken == record["line"] or read(broken) == meant:
                        sys.exit(f"cefp approves of {name}: it judges nothing")
                    found += 1
    print(f"cefp: {lines} lines, {wrong} mismatches; {found} of {len(BREAKS)} broken ones found")
    return wrong > 0 or lines == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
