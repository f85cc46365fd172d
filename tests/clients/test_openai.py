"""The official OpenAI client for Python, unmodified: only base URL and key are ours."""

import os

import openai
import pytest

from harness import API_KEY, BILLING_API_KEY, HAS_LOCAL_MODEL, MODEL, URL, Superuser, call, eventually

HELLO = [{"role": "user", "content": "Say hello in one short sentence."}]


def client(key=API_KEY):
    return openai.OpenAI(base_url=f"{URL}/v1", api_key=key, max_retries=0, timeout=60)


@pytest.fixture(scope="module")
def superuser():
    return Superuser()


def logged(superuser, request_id):
    found = lambda: superuser.list("usage_logs", f"request_id='{request_id}'")
    return eventually(found, f"the usage log of {request_id}")[0]


def test_plain_chat_is_answered_and_logged(superuser):
    raw = client().chat.completions.with_raw_response.create(model=MODEL, messages=HELLO, max_tokens=16)
    answer = raw.parse()
    assert answer.choices[0].message.content.strip()
    assert answer.usage.prompt_tokens > 0
    assert 0 < answer.usage.completion_tokens <= 16
    assert float(raw.headers["x-cf-budget-remaining"]) > 0

    log = logged(superuser, raw.headers["x-request-id"])
    assert log["status"] == "ok"
    assert log["model"] == MODEL
    assert log["prompt_tokens"] == answer.usage.prompt_tokens
    assert log["completion_tokens"] == answer.usage.completion_tokens
    if HAS_LOCAL_MODEL:
        # The model's prices are in USD, the budget is in EUR; the log says at which rate.
        dollars = (answer.usage.prompt_tokens * 0.10 + answer.usage.completion_tokens * 0.40) / 1_000_000
        assert log["cost"] == pytest.approx(dollars * log["exchange_rate"], rel=0.01, abs=2e-9)


def test_streamed_chat_with_usage():
    stream = client().chat.completions.create(
        model=MODEL, messages=HELLO, max_tokens=16, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices).strip()
    assert chunks[-1].choices == []
    assert 0 < chunks[-1].usage.completion_tokens <= 16
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_streamed_chat_without_usage_shows_none(superuser):
    """We ask the provider for usage in any case; a client that did not ask must not see it."""
    raw = client().chat.completions.with_raw_response.create(model=MODEL, messages=HELLO, max_tokens=16, stream=True)
    chunks = list(raw.parse())
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks).strip()
    assert all(chunk.usage is None for chunk in chunks)
    log = logged(superuser, raw.headers["x-request-id"])
    assert log["completion_tokens"] > 0
    assert not log["estimated"]


@pytest.mark.skipif(not HAS_LOCAL_MODEL, reason="the demo provider's answers are too short to be interrupted")
def test_an_abandoned_stream_is_logged_as_cancelled(superuser):
    raw = client().chat.completions.with_raw_response.create(
        model=MODEL, messages=[{"role": "user", "content": "Write a long essay about the history of Rome, with ten chapters."}], max_tokens=600, stream=True
    )
    stream = raw.parse()
    for _, _ in zip(range(4), stream):
        pass
    stream.close()
    log = logged(superuser, raw.headers["x-request-id"])
    assert log["status"] == "cancelled"
    assert 0 < log["completion_tokens"] < 600


def test_fields_we_do_not_know_pass():
    answer = client().chat.completions.create(
        model=MODEL, messages=HELLO, max_tokens=8, temperature=0, seed=7, extra_body={"top_k": 1}
    )
    assert answer.choices[0].message.content.strip()


def test_models_are_listed():
    assert MODEL in [model.id for model in client().models.list()]


def test_a_wrong_key_is_an_authentication_error():
    with pytest.raises(openai.AuthenticationError) as caught:
        client("sk-" + "0" * 64).chat.completions.create(model=MODEL, messages=HELLO)
    assert caught.value.code == "invalid_api_key"
    with pytest.raises(openai.AuthenticationError):
        client("sk-" + "0" * 64).models.list()


def test_an_unknown_model_is_not_found():
    with pytest.raises(openai.NotFoundError) as caught:
        client().chat.completions.create(model="no-such-model", messages=HELLO)
    assert caught.value.code == "model_not_found"


def test_a_bad_request_is_said_to_be_one():
    with pytest.raises(openai.BadRequestError):
        client().chat.completions.create(model=MODEL, messages="not a list")


def test_too_small_a_budget_is_refused(superuser):
    tenant = superuser.list("tenants", "slug='app'")[0]
    product = superuser.create(
        "products",
        {
            "name": "Hardly anything",
            "price": 0,
            "currency": "EUR",
            # A millionth of a euro: less than the prompt alone costs.
            "budget_included": 0.000001,
            "models": [],
            "features": [],
            "rate_limit": 100,
            "active": True,
        },
    )
    status, user = call(
        "POST",
        "/api/users",
        {"email": f"poor-{os.getpid()}@example.com", "name": "Poor", "tenant_id": tenant["id"], "product_id": product["id"]},
        {"X-API-Key": BILLING_API_KEY},
    )
    assert status == 201, user
    with pytest.raises(openai.PermissionDeniedError) as caught:
        client(user["litellm_api_key"]).chat.completions.create(model=MODEL, messages=HELLO, max_tokens=64)
    assert caught.value.code == "budget_exceeded"
    assert caught.value.body["message"].startswith("Budget exceeded")
