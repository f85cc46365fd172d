"""What `cargo xtask test clients` hands to the tests, and the calls they need beside the client under test."""

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request

URL = os.environ["CF_URL"]
PORT = os.environ["CF_PORT"]
API_KEY = os.environ["CF_API_KEY"]
BILLING_API_KEY = os.environ["CF_BILLING_API_KEY"]
MODEL = os.environ["CF_MODEL"]
# Without the local model the built-in demo provider answers, at prices of its own.
HAS_LOCAL_MODEL = MODEL != "demo"

LIMIT_SECONDS = 10


def call(method, path, body=None, headers=None):
    """Sends JSON and returns status and JSON, for errors too."""
    request = urllib.request.Request(
        URL + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **(headers or {})},
    )
    try:
        with urllib.request.urlopen(request, timeout=LIMIT_SECONDS) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        text = error.read()
        return error.code, json.loads(text) if text else None


class Superuser:
    def __init__(self):
        status, answer = call(
            "POST",
            "/api/collections/_superusers/auth-with-password",
            {"identity": os.environ["CF_SUPERUSER_EMAIL"], "password": os.environ["CF_SUPERUSER_PASSWORD"]},
        )
        assert status == 200, answer
        self.headers = {"Authorization": answer["token"]}

    def list(self, collection, filter):
        query = urllib.parse.urlencode({"filter": filter})
        status, answer = call("GET", f"/api/collections/{collection}/records?{query}", headers=self.headers)
        assert status == 200, answer
        return answer["items"]

    def create(self, collection, record):
        status, answer = call("POST", f"/api/collections/{collection}/records", record, self.headers)
        assert status == 200, answer
        return answer

    def allow(self, model):
        """Products that name their models are to have this one too."""
        for product in self.list("products", "active=true"):
            if product["models"] and model not in product["models"]:
                models = [*product["models"], model]
                status, answer = call("PATCH", f"/api/collections/products/records/{product['id']}", {"models": models}, self.headers)
                assert status == 200, answer


def key_for_all_models(superuser, name):
    """The API key of a new user whose product has every model."""
    tenant = superuser.list("tenants", "slug='app'")[0]
    product = superuser.create(
        "products",
        {
            "name": name,
            "price": 0,
            "currency": "EUR",
            "budget_included": 100,
            "models": [],
            "features": [],
            "rate_limit": 0,
            "active": True,
        },
    )
    user = {"email": f"{name}-{os.getpid()}@example.com", "name": name, "tenant_id": tenant["id"], "product_id": product["id"]}
    status, answer = call("POST", "/api/users", user, {"X-API-Key": BILLING_API_KEY})
    assert status == 201, answer
    return answer["litellm_api_key"]


def eventually(probe, what):
    """The first answer of `probe` that is not empty."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        found = probe()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited {LIMIT_SECONDS} s for {what}")
