"""LiteLLM's own library as a client of ours, unmodified."""

import json

import litellm
import pytest
from pydantic import BaseModel

# What all clients share (`tests/clients`).
from doubles.script import AFTER_TOOL, ARGUMENTS, CITY_SCHEMA, GREETING, PERSON, PROMPT_TOKENS, vector_of
from harness import API_KEY, MODEL, URL
from providers import CHATS, DOUBLES_KEY, EMBEDDINGS

OURS = dict(api_base=f"{URL}/v1", api_key=API_KEY, num_retries=0, timeout=60)
HELLO = [{"role": "user", "content": "Say hello in one short sentence."}]
QUESTION = {"role": "user", "content": "How is the weather in Berlin?"}
WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "description": "The weather of a city", "parameters": CITY_SCHEMA},
}
# It speaks OpenAI's chats and Anthropic's Messages with us.
CLIENTS = {"openai": {**OURS, "api_key": DOUBLES_KEY}, "anthropic": {**OURS, "api_base": URL, "api_key": DOUBLES_KEY}}


class Person(BaseModel):
    name: str
    age: int


def ask(client, model, messages, streamed=False, **more):
    """The choice and the usage, at once or put together from a stream."""
    asked = {"model": f"{client}/{model}", "messages": messages, "max_tokens": 64, **CLIENTS[client], **more}
    if not streamed:
        answer = litellm.completion(**asked)
    else:
        chunks = list(litellm.completion(**asked, stream=True, stream_options={"include_usage": True}))
        answer = litellm.stream_chunk_builder(chunks, messages=messages)
    return answer.choices[0], answer.usage


def test_a_chat_is_answered_and_counted():
    answer = litellm.completion(model=f"openai/{MODEL}", messages=HELLO, max_tokens=16, **OURS)
    assert answer.choices[0].message.content.strip()
    assert 0 < answer.usage.completion_tokens <= 16


def test_a_stream_adds_up():
    asked = dict(
        model=f"openai/{MODEL}", messages=HELLO, max_tokens=16, stream=True, stream_options={"include_usage": True}
    )
    whole = litellm.stream_chunk_builder(list(litellm.completion(**asked, **OURS)), messages=HELLO)
    assert whole.choices[0].message.content.strip()
    assert 0 < whole.usage.completion_tokens <= 16


def test_messages_of_anthropic_are_answered():
    answer = litellm.completion(model=f"anthropic/{MODEL}", messages=HELLO, max_tokens=16, **{**OURS, "api_base": URL})
    assert answer.choices[0].message.content.strip()


def test_a_wrong_key_and_an_unknown_model_are_errors_of_their_own():
    with pytest.raises(litellm.AuthenticationError):
        litellm.completion(model=f"openai/{MODEL}", messages=HELLO, **{**OURS, "api_key": "sk-cf-wrong"})
    with pytest.raises(litellm.NotFoundError):
        litellm.completion(model="openai/no-such-model", messages=HELLO, **OURS)


@pytest.mark.parametrize("model", CHATS)
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("streamed", [False, True])
def test_every_provider_chats(model, client, streamed):
    choice, usage = ask(client, model, HELLO, streamed)
    assert choice.message.content == GREETING
    assert choice.finish_reason == "stop"
    assert usage.prompt_tokens == PROMPT_TOKENS


@pytest.mark.parametrize("model", CHATS)
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("streamed", [False, True])
def test_every_provider_calls_a_tool_and_takes_its_result(model, client, streamed):
    choice, _ = ask(client, model, [QUESTION], streamed, tools=[WEATHER])
    assert choice.finish_reason == "tool_calls"
    [call] = choice.message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", ARGUMENTS)
    result = {"role": "tool", "tool_call_id": call.id, "content": "Berlin is sunny"}
    history = [QUESTION, choice.message.model_dump(exclude_none=True), result]
    choice, _ = ask(client, model, history, streamed, tools=[WEATHER])
    assert choice.message.content == AFTER_TOOL


@pytest.mark.parametrize("model", CHATS)
@pytest.mark.parametrize("client", CLIENTS)
def test_every_provider_answers_as_a_schema_says(model, client):
    # As Anthropic's client it asks for the structure by a tool.
    choice, _ = ask(client, model, HELLO, response_format=Person)
    assert json.loads(choice.message.content) == PERSON


@pytest.mark.parametrize("model", EMBEDDINGS)
def test_every_provider_with_embeddings_makes_vectors(model):
    answer = litellm.embedding(model=f"openai/{model}", input=["hello", "world"], **CLIENTS["openai"])
    for text, item in zip(["hello", "world"], answer.data, strict=True):
        assert item["embedding"] == vector_of(text, len(item["embedding"]))
