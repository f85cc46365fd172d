"""The callback in the real LiteLLM proxy, against the real CloudFreedom and a scripted provider.

`cargo xtask test clients` starts CloudFreedom and runs this in an environment with LiteLLM in it.
"""

import concurrent.futures
import http.server
import json
import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tests" / "clients"))

from harness import BILLING_API_KEY, URL, Superuser, call, eventually  # noqa: E402

HERE = pathlib.Path(__file__).parent
MODEL = "for-litellm"
# USD a million tokens, as the model's record has them.
INPUT, OUTPUT, CACHED = 1000.0, 2000.0, 100.0
BILLING = {"X-API-Key": BILLING_API_KEY}
MASTER_KEY = f"sk-{secrets.token_hex(32)}"
MESSAGES = [{"role": "user", "content": "Hello!"}]


class Upstream:
    """A provider in OpenAI's format that counts what reaches it."""

    def __init__(self):
        self.requests = []
        self.mode = "plain"
        self.gate = threading.Event()
        upstream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                upstream.requests.append(body)
                if upstream.mode == "fails":
                    self.answer(500, {"error": {"message": "broken", "type": "server_error"}})
                elif self.path.endswith("/embeddings"):
                    self.answer(200, {
                        "object": "list", "model": body["model"], "usage": {"prompt_tokens": 12, "total_tokens": 12},
                        "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}],
                    })
                elif self.path.endswith("/responses"):
                    self.answer(200, {
                        "id": "resp_x", "object": "response", "created_at": 1, "model": body["model"], "status": "completed",
                        "output": [{
                            "type": "message", "id": "m", "role": "assistant", "status": "completed",
                            "content": [{"type": "output_text", "text": "Hi there, friend!", "annotations": []}],
                        }],
                        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "metadata": {},
                        "usage": {
                            "input_tokens": 12, "output_tokens": 5, "total_tokens": 17,
                            "input_tokens_details": {"cached_tokens": 4}, "output_tokens_details": {"reasoning_tokens": 0},
                        },
                    })
                elif body.get("stream"):
                    self.stream(body)
                else:
                    message = {"role": "assistant", "content": "Hi there, friend!"}
                    self.answer(200, {
                        "id": "x", "object": "chat.completion", "created": 1, "model": body["model"],
                        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                        "usage": USAGE,
                    })

            def answer(self, status, content):
                text = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def stream(self, body):
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("connection", "close")
                self.end_headers()
                self.close_connection = True

                def event(choices, **more):
                    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": body["model"], "choices": choices, **more}
                    self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
                    self.wfile.flush()

                try:
                    for word in ["Hi", " there", ", friend", "!"]:
                        event([{"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}])
                        if upstream.mode == "endless":
                            for _ in range(2000):
                                time.sleep(0.01)
                                event([{"index": 0, "delta": {"content": " more"}, "finish_reason": None}])
                    event([{"index": 0, "delta": {}, "finish_reason": "stop"}])
                    if (body.get("stream_options") or {}).get("include_usage"):
                        event([], usage=USAGE)
                    self.wfile.write(b"data: [DONE]\n\n")
                except OSError:
                    pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


USAGE = {
    "prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17,
    "prompt_tokens_details": {"cached_tokens": 4},
}
# In euros at the demo's rate of 1: 8 fresh, 4 cached, 5 out.
COST = (8 * INPUT + 4 * CACHED + 5 * OUTPUT) / 1_000_000


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Proxy:
    def __init__(self, folder, upstream, **env):
        shutil.copy(HERE / "cloudfreedom.py", folder)
        config = {
            "model_list": [{
                "model_name": MODEL,
                "litellm_params": {
                    "model": "openai/scripted", "api_key": "sk-upstream", "max_retries": 0,
                    "api_base": f"http://127.0.0.1:{upstream.port}/v1",
                },
            }],
            "litellm_settings": {"callbacks": "cloudfreedom.callback", "num_retries": 0},
            "general_settings": {"custom_auth": "cloudfreedom.authenticate"},
        }
        # JSON is YAML too.
        (folder / "config.yaml").write_text(json.dumps(config))
        self.port = free_port()
        self.log = open(folder / "litellm.log", "w+")
        self.process = subprocess.Popen(
            [pathlib.Path(sys.executable).parent / "litellm", "--config", "config.yaml", "--host", "127.0.0.1", "--port", str(self.port)],
            cwd=folder, stdout=self.log, stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "CLOUDFREEDOM_BILLING_URL": URL,
                "CLOUDFREEDOM_BILLING_API_KEY": BILLING_API_KEY,
                "LITELLM_MASTER_KEY": MASTER_KEY,
                # Nothing is fetched from outside.
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                "LITELLM_TELEMETRY": "False",
                **env,
            },
        )
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/liveliness", timeout=1)
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise AssertionError(f"LiteLLM did not start:\n{self.tail()}")
                time.sleep(0.3)

    def tail(self):
        self.log.flush()
        return pathlib.Path(self.log.name).read_text()[-4000:]

    def request(self, key, **body):
        return self.post("/v1/chat/completions", key, {"model": MODEL, "messages": MESSAGES, "max_tokens": 10, **body})

    def post(self, path, key, body):
        return urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
        )

    def chat(self, key, **body):
        return self.send(self.request(key, **body))

    def send(self, request):
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), error.headers

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def upstream():
    return Upstream()


@pytest.fixture(autouse=True)
def calm(upstream):
    upstream.mode = "plain"
    upstream.requests.clear()


@pytest.fixture(scope="module")
def superuser():
    superuser = Superuser()
    if not superuser.list("models", f"name='{MODEL}'"):
        superuser.create("models", {
            "name": MODEL, "active": True, "max_output_tokens": 100, "context_window": 1000,
            "deployments": [{"provider_key": superuser.list("provider_keys", "provider='demo'")[0]["id"], "model": "demo"}],
            "prices": {"input": INPUT, "output": OUTPUT, "cached_input": CACHED},
        })
    return superuser


@pytest.fixture(scope="module")
def proxy(superuser, upstream, tmp_path_factory):
    proxy = Proxy(tmp_path_factory.mktemp("litellm"), upstream)
    yield proxy
    proxy.stop()


class User:
    def __init__(self, superuser, budget, **product):
        made = superuser.create("products", {
            "name": f"P {uuid.uuid4()}", "currency": "EUR", "budget_included": budget, "active": True, **product,
        })
        status, user = call("POST", "/api/users", {
            "email": f"litellm-{uuid.uuid4()}@example.com", "tenant_id": superuser.list("tenants", "slug='app'")[0]["id"],
            "product_id": made["id"],
        }, BILLING)
        assert status == 201, user
        self.id, self.key = user["id"], user["litellm_api_key"]
        self.superuser = superuser

    def rows(self):
        return self.superuser.list("usage_logs", f"user_id='{self.id}'")

    def booked(self):
        return eventually(self.rows, "the call in the books")

    def budget(self):
        status, user = call("GET", f"/api/users/{self.id}", headers=BILLING)
        assert status == 200
        return user

    def left_to_reserve(self):
        """What a new call could reserve: nothing is held any more when it is all that was not spent."""
        user = self.budget()
        _, check = call("POST", "/api/check-budget", {"user_id": self.id, "estimated_cost": user["budget_remaining"]}, BILLING)
        return check["allowed"]


def test_a_call_is_booked_once_with_its_tokens_and_cost(superuser, proxy, upstream):
    user = User(superuser, 10)
    status, text, _ = proxy.chat(user.key)
    assert status == 200, text + proxy.tail()
    rows = user.booked()
    time.sleep(1)
    assert len(user.rows()) == 1
    row = rows[0]
    assert (row["prompt_tokens"], row["completion_tokens"], row["cached_tokens"]) == (12, 5, 4)
    assert row["cost"] == pytest.approx(COST, abs=1e-9)
    assert row["model"] == MODEL and row["source"] == "billing" and row["status"] == "ok"
    assert row["key_id"], "counted on the key too"
    assert row["metadata"]["reported_by"] == "litellm"
    assert user.budget()["budget_used"] == pytest.approx(COST, abs=1e-9)
    assert user.left_to_reserve()
    assert len(upstream.requests) == 1
    assert "cloudfreedom" not in json.dumps(upstream.requests), "nothing of ours reaches the provider"
    assert user.key not in proxy.tail()


def test_two_calls_under_one_call_id_of_the_client_are_two(superuser, proxy):
    user = User(superuser, 10)
    for _ in range(2):
        request = proxy.request(user.key)
        request.add_header("x-litellm-call-id", "chosen-by-the-client")
        urllib.request.urlopen(request, timeout=30).read()
    assert eventually(lambda: len(user.rows()) == 2, "both calls")


def test_a_stream_is_booked_with_the_providers_own_count(superuser, proxy):
    user = User(superuser, 10)
    status, text, _ = proxy.chat(user.key, stream=True)
    assert status == 200 and text.rstrip().endswith("data: [DONE]"), text
    assert '"usage"' not in text, "who did not ask for usage sees none"
    row = user.booked()[0]
    assert (row["prompt_tokens"], row["completion_tokens"], row["cached_tokens"]) == (12, 5, 4)
    assert row["cost"] == pytest.approx(COST, abs=1e-9)
    assert user.left_to_reserve()


@pytest.mark.parametrize("path, body, used", [
    ("/v1/responses", {"input": "Hello!", "max_output_tokens": 10}, (12, 5, 4)),
    ("/v1/messages", {"messages": MESSAGES, "max_tokens": 10}, (12, 5, 4)),
    ("/v1/embeddings", {"input": ["Hello!"]}, (12, 0, 0)),
])
def test_other_ways_to_call_are_booked_too(superuser, proxy, upstream, path, body, used):
    user = User(superuser, 10)
    status, text, _ = proxy.send(proxy.post(path, user.key, {"model": MODEL, **body}))
    assert status == 200, text
    row = user.booked()[0]
    assert (row["prompt_tokens"], row["completion_tokens"], row["cached_tokens"]) == used
    assert user.left_to_reserve()
    assert "cloudfreedom" not in json.dumps(upstream.requests)
    poor = User(superuser, 0.001)
    upstream.requests.clear()
    status, text, _ = proxy.send(proxy.post(path, poor.key, {"model": MODEL, **body}))
    assert status == 403 and "Budget exceeded" in text, text
    assert upstream.requests == []


def test_a_stream_that_is_hung_up_on_is_paid_for_as_far_as_it_went(superuser, proxy, upstream):
    upstream.mode = "endless"
    user = User(superuser, 10)
    answer = urllib.request.urlopen(proxy.request(user.key, stream=True), timeout=30)
    for _ in range(20):
        answer.readline()
    answer.close()
    row = user.booked()[0]
    assert 0 < row["completion_tokens"] < 2000 and row["prompt_tokens"] > 0
    assert row["cost"] > 0
    time.sleep(1)
    assert len(user.rows()) == 1
    assert user.left_to_reserve()


def test_a_used_up_budget_is_refused_before_the_provider_is_called(superuser, proxy, upstream):
    user = User(superuser, 0.001)
    status, text, _ = proxy.chat(user.key)
    assert status == 403, text
    assert "Budget exceeded" in text
    assert upstream.requests == []
    assert user.rows() == []


def test_a_model_that_the_product_does_not_have_is_refused(superuser, proxy, upstream):
    user = User(superuser, 10, models=["another"])
    status, text, _ = proxy.chat(user.key)
    assert status == 403 and MODEL in text, text
    assert upstream.requests == []


def test_a_wrong_key_is_401(proxy, upstream):
    for key in ("sk-" + "0" * 48, "nonsense"):
        status, text, _ = proxy.chat(key)
        assert status == 401, text
    assert upstream.requests == []


def test_litellms_own_administrator_has_no_budget_and_calls_no_model(proxy, upstream):
    status, text, _ = proxy.chat(MASTER_KEY)
    assert status == 401, text
    assert upstream.requests == []


def test_too_many_requests_are_429_with_retry_after(superuser, proxy, upstream):
    user = User(superuser, 10, rate_limit=2)
    answers = [proxy.chat(user.key) for _ in range(3)]
    assert [status for status, _, _ in answers] == [200, 200, 429], answers[-1][1]
    assert int(answers[-1][2]["retry-after"]) > 0
    assert len(upstream.requests) == 2


def test_calls_at_once_never_exceed_a_small_budget(superuser, proxy, upstream):
    # What is reserved for one: the request's bytes and ten tokens out.
    user = User(superuser, 10)
    status, check = call("POST", "/api/check-budget", {
        "user_id": user.id, "model": MODEL, "prompt_tokens": len(json.dumps(MESSAGES)) + 64, "max_tokens": 10,
    }, BILLING)
    assert status == 200
    user = User(superuser, check["estimated_cost"] * 3)
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: proxy.chat(user.key), range(20)))
    allowed = sum(status == 200 for status, _, _ in answers)
    assert all(status in (200, 403) for status, _, _ in answers), answers
    assert 3 <= allowed < 20
    assert len(upstream.requests) == allowed
    eventually(lambda: len(user.rows()) == allowed, "all allowed calls in the books")
    after = user.budget()
    assert after["budget_used"] == pytest.approx(COST * allowed, abs=1e-9)
    assert after["budget_used"] <= after["budget_total"]
    assert user.left_to_reserve()


def test_a_call_that_fails_gives_its_reservation_back(superuser, proxy, upstream):
    upstream.mode = "fails"
    user = User(superuser, 10)
    status, _, _ = proxy.chat(user.key)
    assert status >= 500
    eventually(user.left_to_reserve, "the reservation to be released")
    assert user.budget()["budget_used"] == 0


class Relay:
    """Stands between LiteLLM and CloudFreedom, and can be cut."""

    def __init__(self):
        self.down = threading.Event()
        self.seen = []
        relay = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def pass_on(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                if relay.down.is_set():
                    self.send_response(503)
                    self.send_header("content-length", "0")
                    self.end_headers()
                    return
                relay.seen.append((self.path, body))
                names = ("x-api-key", "content-type", "idempotency-key")
                headers = {name: self.headers[name] for name in names if self.headers[name]}
                request = urllib.request.Request(URL + self.path, data=body or None, headers=headers, method=self.command)
                try:
                    answer = urllib.request.urlopen(request, timeout=10)
                except urllib.error.HTTPError as error:
                    answer = error
                text = answer.read()
                self.send_response(answer.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_POST = do_DELETE = do_GET = pass_on

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.mark.parametrize("closed", ["true", "false"])
def test_while_cloudfreedom_is_away_calls_are_refused_or_booked_later(superuser, upstream, tmp_path, closed):
    relay = Relay()
    proxy = Proxy(tmp_path, upstream, CLOUDFREEDOM_BILLING_URL=relay.url, CLOUDFREEDOM_FAIL_CLOSED=closed, CLOUDFREEDOM_TIMEOUT_SECONDS="1")
    try:
        user = User(superuser, 10)
        assert proxy.chat(user.key)[0] == 200
        eventually(lambda: len(user.rows()) == 1, "the first call")
        relay.down.set()
        began = time.monotonic()
        status, text, _ = proxy.chat(user.key)
        assert time.monotonic() - began < 5, "a call does not wait for long"
        if closed == "true":
            assert status == 503, text
            assert len(upstream.requests) == 1
            relay.down.clear()
            assert proxy.chat(user.key)[0] == 200
            eventually(lambda: len(user.rows()) == 2, "the next call")
        else:
            assert status == 200, text
            # Nobody new gets in meanwhile.
            assert proxy.chat(User(superuser, 10).key)[0] == 503
            time.sleep(1)
            relay.down.clear()
            eventually(lambda: len(user.rows()) == 2, "the report that was tried again")
            time.sleep(1)
            assert len(user.rows()) == 2
            assert user.budget()["budget_used"] == pytest.approx(2 * COST, abs=1e-9)
    finally:
        proxy.stop()
