"""Anthropic's official client for Python, unmodified, on providers of every kind."""

import json
from functools import cache

import anthropic
import pytest

from doubles.script import (
    AFTER_TOOL,
    ARGUMENTS,
    CITY_SCHEMA,
    GREETING,
    OUTPUT_TOKENS,
    PERSON,
    PERSON_SCHEMA,
    PROMPT_TOKENS,
)
from harness import API_KEY, MODEL, URL, Superuser, eventually
from providers import CHATS, DOUBLES_KEY

HELLO = [{"role": "user", "content": "Say hello in one short sentence."}]
QUESTION = {"role": "user", "content": "How is the weather in Berlin?"}
WEATHER = {"name": "get_weather", "description": "The weather of a city", "input_schema": CITY_SCHEMA}


@cache
def client(**more):
    return anthropic.Anthropic(base_url=URL, max_retries=0, timeout=60, **(more or {"api_key": API_KEY}))


def ask(model, messages, streamed=False, **more):
    """The message that a provider's double answers with, at once or put together from its stream."""
    asked = {"model": model, "messages": messages, "max_tokens": 64, **more}
    ours = client(api_key=DOUBLES_KEY)
    if not streamed:
        return ours.messages.create(**asked)
    with ours.messages.stream(**asked) as stream:
        text = "".join(stream.text_stream)
        whole = stream.get_final_message()
    assert text == "".join(block.text for block in whole.content if block.type == "text")
    return whole


def result_of(use):
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "It is sunny."}]}


@pytest.fixture(scope="module")
def superuser():
    return Superuser()


@pytest.mark.parametrize("header", ["api_key", "auth_token"])
def test_a_message_is_answered_and_logged(superuser, header):
    raw = client(**{header: API_KEY}).messages.with_raw_response.create(model=MODEL, messages=HELLO, max_tokens=16)
    answer = raw.parse()
    assert answer.content[0].text.strip()
    assert answer.stop_reason in ("end_turn", "max_tokens")
    found = lambda: superuser.list("usage_logs", f"request_id='{raw.headers['request-id']}'")
    [log] = eventually(found, "the usage log")
    # What was read from the provider's cache is counted beside the input here.
    used = answer.usage
    prompt = used.input_tokens + (used.cache_read_input_tokens or 0) + (used.cache_creation_input_tokens or 0)
    assert log["prompt_tokens"] == prompt > 0
    assert log["completion_tokens"] == answer.usage.output_tokens > 0


def test_a_streamed_message_adds_up():
    with client().messages.stream(model=MODEL, messages=HELLO, max_tokens=16) as stream:
        text = "".join(stream.text_stream)
        whole = stream.get_final_message()
    assert text.strip() == whole.content[0].text.strip() != ""
    assert whole.usage.output_tokens > 0


@pytest.mark.parametrize("model", CHATS)
@pytest.mark.parametrize("streamed", [False, True])
def test_every_provider_answers(model, streamed):
    answer = ask(model, HELLO, streamed, system="You are brief.")
    assert answer.content[-1].text == GREETING
    assert answer.stop_reason == "end_turn"
    assert answer.usage.input_tokens == PROMPT_TOKENS
    assert answer.usage.output_tokens >= OUTPUT_TOKENS


@pytest.mark.parametrize("model", CHATS)
@pytest.mark.parametrize("streamed", [False, True])
def test_every_provider_calls_a_tool_and_takes_its_result(model, streamed):
    asked = ask(model, [QUESTION], streamed, tools=[WEATHER])
    assert asked.stop_reason == "tool_use"
    [use] = [block for block in asked.content if block.type == "tool_use"]
    assert (use.name, use.input) == ("get_weather", ARGUMENTS)
    history = [QUESTION, {"role": "assistant", "content": asked.content}, result_of(use)]
    answer = ask(model, history, streamed, tools=[WEATHER])
    assert answer.content[-1].text == AFTER_TOOL


@pytest.mark.parametrize(
    "model", [name for name in CHATS if name.endswith(("claude", "invoke", "anthropic", "gemini"))]
)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_thinking_model_goes_on_after_a_tool(model, streamed):
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4000, "tools": [WEATHER]}
    asked = ask(model, [QUESTION], streamed, **thinking)
    [thought] = [block for block in asked.content if block.type == "thinking"]
    assert thought.thinking == "Hm."
    [use] = [block for block in asked.content if block.type == "tool_use"]
    history = [QUESTION, {"role": "assistant", "content": asked.content}, result_of(use)]
    assert ask(model, history, streamed, **thinking).content[-1].text == AFTER_TOOL


@pytest.mark.parametrize("model", CHATS)
def test_every_provider_answers_as_a_schema_says(model):
    wanted = {"format": {"type": "json_schema", "schema": PERSON_SCHEMA}}
    answer = ask(model, [{"role": "user", "content": "Who was the first programmer?"}], output_config=wanted)
    assert json.loads(answer.content[-1].text) == PERSON


def test_a_wrong_key_and_an_unknown_model_are_refused_in_its_shape():
    with pytest.raises(anthropic.AuthenticationError):
        client(api_key="sk-cf-wrong").messages.create(model=MODEL, messages=HELLO, max_tokens=16)
    with pytest.raises(anthropic.NotFoundError) as refused:
        client().messages.create(model="no-such-model", messages=HELLO, max_tokens=16)
    assert refused.value.body["error"]["type"] == "not_found_error"
