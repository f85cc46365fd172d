"""Anthropic's official client for Python, unmodified, on providers of every kind."""

import json

import anthropic
import pytest

from doubles import AFTER_TOOL, ARGUMENTS, KINDS, PERSON, Double
from harness import API_KEY, MODEL, URL, Superuser, eventually

# OpenAI itself is reached by Responses in its double; chats go to the others.
CHATS = [kind for kind in KINDS if kind != "openai"]
HELLO = [{"role": "user", "content": "Say hello in one short sentence."}]
WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def client(**more):
    return anthropic.Anthropic(base_url=URL, max_retries=0, timeout=60, **(more or {"api_key": API_KEY}))


@pytest.fixture(scope="module")
def superuser():
    return Superuser()


@pytest.fixture(scope="module", params=CHATS)
def double(request, superuser):
    double = Double(superuser, request.param)
    yield double
    double.stop()


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


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_is_called_and_answered(double, streamed):
    question = {"role": "user", "content": "How is the weather in Berlin?"}
    asking = dict(model=double.model, max_tokens=64, tools=[WEATHER])
    if streamed:
        with client().messages.stream(messages=[question], **asking) as stream:
            asked = stream.get_final_message()
    else:
        asked = client().messages.create(messages=[question], **asking)
    assert asked.stop_reason == "tool_use"
    [use] = [block for block in asked.content if block.type == "tool_use"]
    assert (use.name, use.input) == ("get_weather", ARGUMENTS)
    told = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}]}
    answer = client().messages.create(messages=[question, {"role": "assistant", "content": asked.content}, told], **asking)
    assert answer.content[-1].text == AFTER_TOOL


def test_an_answer_has_the_structure_that_was_asked_for(double):
    answer = client().messages.create(
        model=double.model,
        max_tokens=64,
        messages=[{"role": "user", "content": "Who was the first programmer?"}],
        output_config={"format": {"type": "json_schema", "schema": SCHEMA}},
    )
    assert json.loads(answer.content[-1].text) == PERSON


def test_a_wrong_key_and_an_unknown_model_are_refused_in_its_shape():
    with pytest.raises(anthropic.AuthenticationError):
        client(api_key="sk-cf-wrong").messages.create(model=MODEL, messages=HELLO, max_tokens=16)
    with pytest.raises(anthropic.NotFoundError) as refused:
        client().messages.create(model="no-such-model", messages=HELLO, max_tokens=16)
    assert refused.value.body["error"]["type"] == "not_found_error"
