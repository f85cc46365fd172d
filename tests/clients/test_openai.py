"""The official OpenAI client for Python, unmodified: only base URL and key are ours."""

import json
import os
from functools import cache

import openai
import pytest
from pydantic import BaseModel

from doubles.script import AFTER_TOOL, ARGUMENTS, CITY_SCHEMA, GREETING, OUTPUT_TOKENS, PERSON, PROMPT_TOKENS, vector_of
from harness import API_KEY, BILLING_API_KEY, HAS_LOCAL_MODEL, MODEL, URL, Superuser, call, eventually
from providers import CHATS, DOUBLES_KEY, EMBEDDINGS

HELLO = [{"role": "user", "content": "Say hello in one short sentence."}]


@cache
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
        model=MODEL,
        messages=[{"role": "user", "content": "Write a long essay about the history of Rome, with ten chapters."}],
        max_tokens=600,
        stream=True,
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
        {
            "email": f"poor-{os.getpid()}@example.com",
            "name": "Poor",
            "tenant_id": tenant["id"],
            "product_id": product["id"],
        },
        {"X-API-Key": BILLING_API_KEY},
    )
    assert status == 201, user
    with pytest.raises(openai.PermissionDeniedError) as caught:
        client(user["litellm_api_key"]).chat.completions.create(model=MODEL, messages=HELLO, max_tokens=64)
    assert caught.value.code == "budget_exceeded"
    assert caught.value.body["message"].startswith("Budget exceeded")


# A double of every kind of provider.

SYSTEM = {"role": "system", "content": "You are brief."}
QUESTION = {"role": "user", "content": "How is the weather in Berlin?"}
WEATHER_TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "description": "The weather of a city", "parameters": CITY_SCHEMA},
}
# Claude thinks with at least 1,024 tokens, of which the answer's limit is twice as much.
THINKING = dict(reasoning_effort="low", max_tokens=4000)


class Person(BaseModel):
    name: str
    age: int


def ask(model, messages, streamed=False, **more):
    """The message and the usage that a provider's double answers with."""
    asking = dict(model=model, messages=messages, **{"max_tokens": 64, **more})
    if not streamed:
        answer = client(DOUBLES_KEY).chat.completions.create(**asking)
        return answer.choices[0], answer.usage
    with client(DOUBLES_KEY).chat.completions.stream(**asking, stream_options={"include_usage": True}) as stream:
        for _ in stream:
            pass
        answer = stream.get_final_completion()
    return answer.choices[0], answer.usage


def result_of(call):
    return {"role": "tool", "tool_call_id": call.id, "content": "Berlin is sunny"}


@pytest.mark.parametrize("model", CHATS)
@pytest.mark.parametrize("streamed", [False, True])
def test_every_provider_chats(model, streamed):
    choice, usage = ask(model, [SYSTEM, *HELLO], streamed)
    assert choice.message.content == GREETING
    assert choice.finish_reason == "stop"
    assert usage.prompt_tokens == PROMPT_TOKENS
    thinking = usage.completion_tokens_details.reasoning_tokens if usage.completion_tokens_details else 0
    assert usage.completion_tokens - thinking == OUTPUT_TOKENS
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


@pytest.mark.parametrize("model", CHATS)
@pytest.mark.parametrize("streamed", [False, True])
def test_every_provider_calls_a_tool_and_takes_its_result(model, streamed):
    choice, _ = ask(model, [SYSTEM, QUESTION], streamed, tools=[WEATHER_TOOL])
    assert choice.finish_reason == "tool_calls"
    [call] = choice.message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", ARGUMENTS)
    history = [SYSTEM, QUESTION, choice.message.model_dump(exclude_none=True), result_of(call)]
    choice, _ = ask(model, history, streamed, tools=[WEATHER_TOOL])
    assert choice.message.content == AFTER_TOOL


@pytest.mark.parametrize("model", CHATS)
def test_every_provider_answers_as_a_schema_says(model):
    answer = client(DOUBLES_KEY).chat.completions.parse(
        model=model,
        messages=[{"role": "user", "content": "Who was the first programmer?"}],
        response_format=Person,
        max_tokens=64,
    )
    assert answer.choices[0].message.parsed == Person(**PERSON)


@pytest.mark.parametrize("model", EMBEDDINGS)
def test_every_provider_with_embeddings_makes_vectors(model):
    answer = client(DOUBLES_KEY).embeddings.create(model=model, input=["hello", "world"])
    for text, item in zip(["hello", "world"], answer.data, strict=True):
        assert item.embedding == vector_of(text, len(item.embedding))
    assert answer.usage.prompt_tokens > 0


@pytest.mark.parametrize("model", CHATS)
def test_what_a_provider_does_not_have_is_left_out_where_that_is_asked_for(model):
    """Fields that are usual with OpenAI; providers that do not know one would refuse it."""
    messages = [{"role": "developer", "content": "You are brief."}, {**HELLO[0], "name": "ada"}]
    choice, _ = ask(
        model,
        messages,
        seed=7,
        user="user-1",
        store=False,
        metadata={"purpose": "test"},
        parallel_tool_calls=False,
        tools=[WEATHER_TOOL],
        tool_choice="none",
        frequency_penalty=0,
        extra_body={"drop_params": True},
    )
    assert choice.message.content == GREETING


@pytest.mark.parametrize("model", CHATS)
@pytest.mark.parametrize(
    "first", [name for name in CHATS if name in ("double-anthropic", "double-gemini", "double-mistral")]
)
def test_a_conversation_moves_to_another_provider(first, model):
    """What the first provider thought and how it named its calls is nothing that another one takes."""
    thinking = THINKING if first != "double-mistral" else {}
    choice, _ = ask(first, [QUESTION], tools=[WEATHER_TOOL], **thinking)
    [call] = choice.message.tool_calls
    history = [QUESTION, choice.message.model_dump(exclude_none=True), result_of(call)]
    choice, _ = ask(model, history, tools=[WEATHER_TOOL])
    assert choice.message.content == AFTER_TOOL


@pytest.mark.parametrize(
    "model", [name for name in CHATS if name.endswith(("claude", "invoke", "anthropic", "gemini"))]
)
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("keeps_thinking", [True, False])
def test_a_thinking_model_goes_on_after_a_tool(model, streamed, keeps_thinking):
    """Clients that keep the message as it came send sealed thinking back; of others Claude is not asked to think on."""
    choice, _ = ask(model, [QUESTION], streamed, tools=[WEATHER_TOOL], **THINKING)
    if not streamed and "bedrock-claude" not in model:
        assert choice.message.reasoning_content == "Hm."
    [call] = choice.message.tool_calls
    said = choice.message.model_dump(exclude_none=True)
    if not keeps_thinking:
        for own in ("reasoning_content", "reasoning_details"):
            said.pop(own, None)
    choice, _ = ask(model, [QUESTION, said, result_of(call)], streamed, tools=[WEATHER_TOOL], **THINKING)
    assert choice.message.content == AFTER_TOOL
