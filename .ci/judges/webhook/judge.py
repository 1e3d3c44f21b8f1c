"""Judges the signatures of requests that the http sink has sent, by the package standardwebhooks.

    judge.py DIR

DIR/webhook.ndjson is what `go test ./sink -run TestCorpus -args -corpus.dir=DIR` wrote a moment ago: the package takes
no request that is older than five minutes. Every signature of every request must be right, by each of its secrets alone.
In the same run, requests broken on purpose must be refused: a judge that approves of everything fails.
"""
import base64
import datetime
import hmac
import json
import pathlib
import re
import sys

from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

SECONDS = datetime.timedelta(seconds=1)


def fault(request, secret):
    """What is wrong with one request, "" for nothing."""
    headers, body = request["headers"], request["body"]
    try:
        Webhook(secret).verify(body, headers, json_parse=False)
    except (WebhookVerificationError, UnicodeDecodeError) as e:
        return f"{type(e).__name__}: {e}"
    if len(headers["webhook-signature"].split(" ")) != len(request["secrets"]):
        return "webhook-signature: not one a secret"
    if not re.fullmatch(r"[0-9a-f]{32}|[0-9a-f]{64}", headers["webhook-id"]) or headers["webhook-id"] != headers["idempotency-key"]:
        return "webhook-id: is not the Idempotency-Key"
    if not re.fullmatch(r"[0-9]{10}", headers["webhook-timestamp"]):
        return "webhook-timestamp: no seconds"
    # The package knows no X-Hub-Signature-256: GitHub's is HMAC over the body, and the key is said in our docs.
    key = base64.b64decode(request["secrets"][0].removeprefix("whsec_"))
    if headers["x-hub-signature-256"] != "sha256=" + hmac.digest(key, body, "sha256").hex():
        return "x-hub-signature-256: is not that of the first secret's bytes"
    return ""


def signed_at(request, secret, shift):
    """The request, signed by the package itself for another moment, so that nothing but the moment is wrong."""
    at = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + shift * SECONDS
    headers = dict(request["headers"])
    headers["webhook-timestamp"] = str(int(at.timestamp()))
    headers["webhook-signature"] = Webhook(secret).sign(headers["webhook-id"], at, request["body"].decode())
    return {**request, "headers": headers, "secrets": [secret]}


def broken(request, secret):
    """The request with one thing wrong at a time."""
    headers, body = request["headers"], request["body"]

    def other(**changes):
        out = {**headers, **{k.replace("_", "-"): v for k, v in changes.items()}}
        return {**request, "headers": {k: v for k, v in out.items() if v is not None}}

    yield "a byte more", {**request, "body": body + b" "}
    yield "a byte changed", {**request, "body": bytes([body[0] ^ 1]) + body[1:]}
    yield "a byte less", {**request, "body": body[:-1]}
    yield "another id", other(webhook_id="0" * 32)
    yield "no id", other(webhook_id=None)
    yield "no timestamp", other(webhook_timestamp=None)
    yield "no signature", other(webhook_signature=None)
    yield "another timestamp", other(webhook_timestamp=str(int(headers["webhook-timestamp"]) - 1))
    yield "an old timestamp, signed", signed_at(request, secret, -400)
    yield "a timestamp to come, signed", signed_at(request, secret, 400)
    yield "another version of signature", other(webhook_signature=headers["webhook-signature"].replace("v1,", "v2,"))
    yield "another signature", other(webhook_signature="v1," + base64.b64encode(bytes(32)).decode())
    yield "another X-Hub-Signature-256", other(x_hub_signature_256="sha256=" + "0" * 64)
    yield "an id that is not the key", other(idempotency_key="0" * 32)


def main(directory):
    faults = requests = signatures = refused = 0
    kinds = set()
    with open(pathlib.Path(directory, "webhook.ndjson"), encoding="utf-8") as lines:
        for n, line in enumerate(lines):
            request = json.loads(line)
            request["body"] = base64.b64decode(request["body"])
            requests += 1
            for secret in request["secrets"]:
                signatures += 1
                if why := fault(request, secret):
                    faults += 1
                    print(f"webhook: request {n}, {request['name']}: {why}", file=sys.stderr)
            if fault(request, "whsec_" + "A" * 32) == "":
                faults += 1
                print(f"webhook: request {n}: a secret that nobody has is taken", file=sys.stderr)
            # One of each kind is enough to see that the judge looks.
            kind = (request["name"], len(request["secrets"]))
            if kind in kinds:
                continue
            kinds.add(kind)
            good = signed_at(request, request["secrets"][0], 0)
            if why := fault(good, request["secrets"][0]):
                faults += 1
                print(f"webhook: {request['name']}, signed by the package itself: {why}", file=sys.stderr)
            for name, bad in broken(request, request["secrets"][0]):
                if fault(bad, bad["secrets"][0]) == "":
                    faults += 1
                    print(f"webhook: {request['name']}: {name} was not found", file=sys.stderr)
                refused += 1
    print(f"webhook: {requests} requests, {signatures} signatures, {len(kinds)} kinds; {refused} broken ones, {faults} faults")
    return 1 if faults or requests < 10_000 or len(kinds) < 30 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
