"""A service account of Google and the endpoint where its signed statement becomes a token."""

import base64
import json
import secrets
import time
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from .server import Refusal, answer_json

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
# How far two clocks may be apart.
SKEW_SECONDS = 60


class ServiceAccount:
    def __init__(self, project):
        self.project = project
        self.email = f"double@{project}.iam.gserviceaccount.com"
        self.key_id = secrets.token_hex(20)
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.tokens = set()
        self.token_uri = None

    def as_file(self, token_uri):
        """The JSON that Google gives out, with the endpoint's address in it."""
        self.token_uri = token_uri
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        pem = self.key.private_bytes(encoding, form, serialization.NoEncryption()).decode()
        return json.dumps(
            {
                "type": "service_account",
                "project_id": self.project,
                "private_key_id": self.key_id,
                "private_key": pem,
                "client_email": self.email,
                "client_id": "100000000000000000001",
                "token_uri": token_uri,
            }
        )

    def token(self, request):
        form = {name: value for name, [value] in parse_qs(request.body.decode()).items()}
        if set(form) != {"grant_type", "assertion"} or form["grant_type"] != GRANT:
            raise Refusal(400, {"error": "unsupported_grant_type", "error_description": "Invalid grant_type"})
        self.verify(form["assertion"])
        fresh = f"ya29.{secrets.token_urlsafe(24)}"
        self.tokens.add(fresh)
        return answer_json({"access_token": fresh, "expires_in": 3599, "token_type": "Bearer"})

    def verify(self, assertion):
        """Who signs, for whom, what for, and for how long."""

        def refuse(why):
            raise Refusal(400, {"error": "invalid_grant", "error_description": f"Invalid JWT: {why}"})

        signed, _, signature = assertion.rpartition(".")
        header, claims = (json.loads(decoded(part)) for part in signed.split("."))
        if header != {"alg": "RS256", "typ": "JWT", "kid": self.key_id}:
            refuse(f"header {header}")
        try:
            self.key.public_key().verify(decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            refuse("signature")
        now = time.time()
        known = {"iss": self.email, "scope": SCOPE, "aud": self.token_uri}
        if {name: claims.get(name) for name in known} != known or set(claims) != {*known, "iat", "exp"}:
            refuse(f"claims {claims}")
        if not now - 3600 < claims["iat"] <= now + SKEW_SECONDS or not now < claims["exp"] <= claims["iat"] + 3600:
            refuse("times")


def decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
