"""AWS's Signature Version 4, worked out again from what arrived, as AWS does to verify it."""

import hashlib
import hmac
from datetime import datetime, timedelta, timezone
from urllib.parse import quote

# AWS's clocks and ours may be so far apart.
SKEW = timedelta(minutes=5)


def moment(stamp):
    """The time in `x-amz-date`."""
    return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)


def verify(request, key, secret, session_token, region, service="bedrock", now=None):
    """What is wrong with the signature; `None` where it is right."""
    headers = request.headers
    algorithm, _, rest = headers.get("authorization", "").partition(" ")
    if algorithm != "AWS4-HMAC-SHA256":
        return "it is not signed with AWS4-HMAC-SHA256"
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    stamp = headers.get("x-amz-date", "")
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    if parts.get("Credential") != f"{key}/{scope}":
        return f"the credential is {parts.get('Credential')}, not {key}/{scope}"
    if abs((now or datetime.now(timezone.utc)) - moment(stamp)) > SKEW:
        return "it is signed for another time"
    if headers.get("x-amz-security-token") != session_token:
        return "the session token is another"
    names = parts["SignedHeaders"].split(";")
    needed = {"host", "x-amz-date", *(["x-amz-security-token"] if session_token else [])}
    if not needed <= set(names) or names != sorted(names):
        return f"the signed headers are {names}"
    # What was encoded once for the wire is encoded once more here.
    path = "/".join(quote(part, safe="-_.~") for part in request.path.split("/"))
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in names)
    body = hashlib.sha256(request.body).hexdigest()
    canonical = f"POST\n{path}\n\n{lines}\n{';'.join(names)}\n{body}"
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signing = f"AWS4{secret}".encode()
    for part in (stamp[:8], region, service, "aws4_request"):
        signing = hmac.digest(signing, part.encode(), "sha256")
    expected = hmac.digest(signing, to_sign.encode(), "sha256").hex()
    return None if hmac.compare_digest(expected, parts["Signature"]) else "the signature does not match"
