"""The `curl` calls of the operator's description, with only names and keys replaced."""

import json
import os
import subprocess

from harness import BILLING_API_KEY, MODEL, PORT, Superuser

# curl itself takes every name below `localhost` for the loopback address.
BILLING = f"http://billing.localhost:{PORT}"
TENANT = f"http://app.localhost:{PORT}"
OTHER = f"http://other.localhost:{PORT}"


def curl(*arguments):
    """Status and JSON of a call."""
    command = ["curl", "--silent", "--show-error", "--max-time", "60", "--write-out", "\n%{http_code}", *arguments]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    body, status = output.rsplit("\n", 1)
    return int(status), json.loads(body)


def new_user(superuser, email, key=BILLING_API_KEY):
    tenant = superuser.list("tenants", "slug='app'")[0]
    product = superuser.list("products", "name='Pro Plan'")[0]
    body = {"email": email, "name": "Max Mustermann", "tenant_id": tenant["id"], "product_id": product["id"]}
    return curl(
        "-X", "POST", f"{BILLING}/api/users",
        "-H", f"X-API-Key: {key}",
        "-H", "Content-Type: application/json",
        "-d", json.dumps(body),
    )  # fmt: skip


def chat(key, host=TENANT):
    return curl(
        f"{host}/v1/chat/completions",
        "-H", f"Authorization: Bearer {key}",
        "-H", "Content-Type: application/json",
        "-d", json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 16}),
    )  # fmt: skip


def test_a_user_made_by_curl_chats_by_curl():
    status, user = new_user(Superuser(), f"max-{os.getpid()}@example.com")
    assert status == 201, user
    assert user["status"] == "active"
    assert user["role"] == "user"
    assert user["litellm_api_key"].startswith("sk-")
    assert user["budget_total"] == 100
    assert user["budget_remaining"] == 100
    assert user["budget_reset_date"]

    status, answer = chat(user["litellm_api_key"])
    assert status == 200, answer
    assert answer["choices"][0]["message"]["content"].strip()


def test_the_key_works_only_at_its_own_tenant():
    superuser = Superuser()
    if not superuser.list("tenants", "slug='other'"):
        superuser.create("tenants", {"name": "Other", "slug": "other", "type": "customer", "status": "active"})
    _, user = new_user(superuser, f"moritz-{os.getpid()}@example.com")
    status, answer = chat(user["litellm_api_key"], OTHER)
    assert status in (401, 403), answer
    assert answer["error"]["message"]


def test_a_wrong_billing_key_makes_nobody():
    status, answer = new_user(Superuser(), f"nobody-{os.getpid()}@example.com", key="wrong")
    assert status == 401, answer
