"""OpenAI's Responses and legacy completions with the official client for Python, unmodified."""

import json
from functools import cache

import openai
import pytest
from pydantic import BaseModel

from doubles.script import AFTER_TOOL, ARGUMENTS, CITY_SCHEMA, GREETING, OUTPUT_TOKENS, PERSON, PROMPT_TOKENS
from harness import API_KEY, BILLING_API_KEY, HAS_LOCAL_MODEL, MODEL, URL, Superuser, call, eventually
from providers import CHATS, DOUBLES_KEY

HELLO = "Say hello in one short sentence."
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": CITY_SCHEMA,
    "strict": True,
}


@cache
def client(key=API_KEY):
    return openai.OpenAI(base_url=f"{URL}/v1", api_key=key, max_retries=0, timeout=60)


@pytest.fixture(scope="module")
def superuser():
    return Superuser()


def logged(superuser, request_id):
    found = lambda: superuser.list("usage_logs", f"request_id='{request_id}'")
    return eventually(found, f"the usage log of {request_id}")[0]


def test_a_plain_response_is_answered_and_logged(superuser):
    raw = client().responses.with_raw_response.create(
        model=MODEL, input=HELLO, max_output_tokens=16, instructions="Be kind.", metadata={"test": "plain"}
    )
    answer = raw.parse()
    assert answer.output_text.strip()
    assert answer.status in ("completed", "incomplete")
    assert answer.metadata == {"test": "plain"}
    assert answer.instructions == "Be kind."
    assert 0 < answer.usage.output_tokens <= 16
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    log = logged(superuser, raw.headers["x-request-id"])
    assert log["status"] == "ok"
    assert log["prompt_tokens"] == answer.usage.input_tokens
    assert log["completion_tokens"] == answer.usage.output_tokens


def test_a_streamed_response_adds_up():
    events = list(client().responses.create(model=MODEL, input=HELLO, max_output_tokens=32, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1].type in ("response.completed", "response.incomplete")
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text.strip()
    assert events[-1].response.output_text == text
    assert events[-1].response.usage.output_tokens > 0
    done = [event for event in events if event.type == "response.output_text.done"]
    assert "".join(event.text for event in done) == text


def test_the_clients_own_accumulator_follows_the_stream():
    # The client has a final response of what is complete only.
    with client().responses.stream(model=MODEL, input=HELLO, max_output_tokens=600) as stream:
        for _ in stream:
            pass
        final = stream.get_final_response()
    assert final.output_text.strip()
    assert final.usage.output_tokens > 0


def test_a_conversation_goes_on_and_is_read_and_deleted():
    first = client().responses.create(model=MODEL, input="My name is Ada.", max_output_tokens=16)
    second = client().responses.create(
        model=MODEL, input="What is my name?", previous_response_id=first.id, max_output_tokens=16
    )
    assert second.previous_response_id == first.id
    if HAS_LOCAL_MODEL:
        # The demo provider counts the last question only.
        assert second.usage.input_tokens > first.usage.input_tokens + first.usage.output_tokens

    again = client().responses.retrieve(second.id)
    assert again.output_text == second.output_text
    assert again.usage == second.usage

    items = list(client().responses.input_items.list(second.id, order="asc", limit=1))
    texts = [item.content[0].text for item in items]
    assert texts == ["My name is Ada.", first.output_text, "What is my name?"]
    newest = client().responses.input_items.list(second.id, limit=2)
    assert newest.has_more
    assert newest.data[0].content[0].text == "What is my name?"

    client().responses.delete(second.id)
    with pytest.raises(openai.NotFoundError):
        client().responses.retrieve(second.id)
    with pytest.raises(openai.BadRequestError) as caught:
        client().responses.create(model=MODEL, input="And?", previous_response_id=second.id)
    assert caught.value.code == "previous_response_not_found"


def test_what_is_not_to_be_stored_is_not():
    answer = client().responses.create(model=MODEL, input=HELLO, max_output_tokens=8, store=False)
    with pytest.raises(openai.NotFoundError):
        client().responses.retrieve(answer.id)


def test_another_user_finds_nothing(superuser):
    kept = client().responses.create(model=MODEL, input=HELLO, max_output_tokens=8)
    tenant = superuser.list("tenants", "slug='app'")[0]
    product = superuser.create(
        "products",
        {"name": "For another", "price": 0, "currency": "EUR", "budget_included": 1, "models": [], "active": True},
    )
    status, user = call(
        "POST",
        "/api/users",
        {
            "email": f"other-{kept.id[-8:].lower()}@example.com",
            "name": "Other",
            "tenant_id": tenant["id"],
            "product_id": product["id"],
        },
        {"X-API-Key": BILLING_API_KEY},
    )
    assert status == 201, user
    other = client(user["litellm_api_key"])
    for attempt in (
        lambda: other.responses.retrieve(kept.id),
        lambda: other.responses.delete(kept.id),
        lambda: other.responses.input_items.list(kept.id),
    ):
        with pytest.raises(openai.NotFoundError):
            attempt()
    with pytest.raises(openai.BadRequestError):
        other.responses.create(model=MODEL, input="And?", previous_response_id=kept.id)
    assert client().responses.retrieve(kept.id).id == kept.id


# A double of every kind of provider; some speak Responses, the others are translated to.

QUESTION = "What is the weather in Berlin?"


def ask(streamed, **asked):
    """The whole response, at once or put together from its stream."""
    asked = {"max_output_tokens": 64, **asked}
    if not streamed:
        return client(DOUBLES_KEY).responses.create(**asked)
    with client(DOUBLES_KEY).responses.stream(**asked) as stream:
        events = list(stream)
        final = stream.get_final_response()
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == final.output_text
    return final


@pytest.mark.parametrize("model", CHATS)
@pytest.mark.parametrize("streamed", [False, True])
def test_every_provider_responds(model, streamed):
    answer = ask(streamed, model=model, input=HELLO, instructions="Be brief.", metadata={"test": "doubles"})
    assert answer.output_text == GREETING
    assert answer.status == "completed"
    assert answer.usage.input_tokens == PROMPT_TOKENS
    assert answer.usage.output_tokens - answer.usage.output_tokens_details.reasoning_tokens == OUTPUT_TOKENS


@pytest.mark.parametrize("model", CHATS)
@pytest.mark.parametrize("streamed", [False, True])
def test_every_provider_calls_a_tool_and_takes_its_result(model, streamed):
    asked = {"model": model, "tools": [WEATHER], "streamed": streamed}
    first = ask(**asked, input=QUESTION)
    [called] = [item for item in first.output if item.type == "function_call"]
    assert (called.name, json.loads(called.arguments)) == ("get_weather", ARGUMENTS)
    told = [{"type": "function_call_output", "call_id": called.call_id, "output": "It is sunny, 21 degrees."}]
    second = ask(**asked, previous_response_id=first.id, input=told)
    assert second.output_text == AFTER_TOOL
    # The same with everything sent back and nothing kept.
    third = ask(**asked, input=[{"role": "user", "content": QUESTION}, *sent_back(first.output), *told], store=False)
    assert third.output_text == AFTER_TOOL


def sent_back(items):
    """An answer's items as input; the client's helper for streams adds a field of its own."""
    return [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in items]


@pytest.mark.parametrize(
    "model", [name for name in CHATS if name.endswith(("claude", "invoke", "anthropic", "gemini"))]
)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_thinking_model_goes_on_after_a_tool(model, streamed):
    asked = {
        "model": model,
        "tools": [WEATHER],
        "streamed": streamed,
        "reasoning": {"effort": "low"},
        "max_output_tokens": 4000,
    }
    first = ask(**asked, input=QUESTION)
    [called] = [item for item in first.output if item.type == "function_call"]
    told = [{"type": "function_call_output", "call_id": called.call_id, "output": "It is sunny."}]
    second = ask(**asked, previous_response_id=first.id, input=told)
    assert second.output_text == AFTER_TOOL


class Person(BaseModel):
    name: str
    age: int


@pytest.mark.parametrize("model", CHATS)
def test_every_provider_answers_as_a_schema_says(model):
    answer = client(DOUBLES_KEY).responses.parse(
        model=model, input="Who was the first programmer?", text_format=Person, max_output_tokens=64
    )
    assert answer.output_parsed == Person(**PERSON)


@pytest.mark.skipif(not HAS_LOCAL_MODEL, reason="the demo provider writes no JSON")
def test_structured_output_of_a_real_model_fits_the_schema():
    answer = client().responses.parse(
        model=MODEL, input="Ada is 36 years old. Give me name and age.", text_format=Person, max_output_tokens=64
    )
    assert isinstance(answer.output_parsed, Person)


def test_a_conversation_goes_on_at_another_provider():
    previous = None
    for model in CHATS:
        answer = ask(False, model=model, input="And now?", previous_response_id=previous)
        assert answer.output_text == GREETING
        previous = answer.id
    assert len(list(client(DOUBLES_KEY).responses.input_items.list(previous))) > len(CHATS) * 2 - 2


def test_what_is_not_done_here_is_said_to_be():
    for wish in ({"background": True}, {"conversation": "conv_1"}, {"tools": [{"type": "web_search"}]}):
        with pytest.raises(openai.BadRequestError):
            client().responses.create(model=MODEL, input=HELLO, **wish)
    kept = client().responses.create(model=MODEL, input=HELLO, max_output_tokens=8)
    with pytest.raises(openai.BadRequestError):
        client().responses.cancel(kept.id)
    with pytest.raises(openai.AuthenticationError):
        client("sk-" + "0" * 64).responses.create(model=MODEL, input=HELLO)
    with pytest.raises(openai.NotFoundError):
        client().responses.create(model="no-such-model", input=HELLO)


def test_legacy_completions(superuser):
    raw = client().completions.with_raw_response.create(model=MODEL, prompt="Once upon a time", max_tokens=8)
    answer = raw.parse()
    assert answer.object == "text_completion"
    assert answer.choices[0].text.strip()
    assert 0 < answer.usage.completion_tokens <= 8
    log = logged(superuser, raw.headers["x-request-id"])
    assert log["completion_tokens"] == answer.usage.completion_tokens

    stream = client().completions.create(
        model=MODEL, prompt="Once upon a time", max_tokens=8, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices).strip()
    assert chunks[-1].usage.completion_tokens > 0
