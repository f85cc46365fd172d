"""LangChain's chat models for OpenAI and Anthropic, unmodified, on providers of every kind."""

from functools import cache

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from doubles.script import AFTER_TOOL, ARGUMENTS, GREETING, PERSON, PROMPT_TOKENS, vector_of
from harness import API_KEY, MODEL, URL
from providers import CHATS, DOUBLES_KEY, EMBEDDINGS

# LangChain has OpenAI's chats and Responses in one class.
CLIENTS = ["openai", "responses", "anthropic"]
QUESTION = HumanMessage("How is the weather in Berlin?")


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"{city} is sunny"


@cache
def chat(model, client="openai", key=API_KEY, **more):
    more = {"max_tokens": 64, "max_retries": 0, "timeout": 60, "api_key": key, "model": model, **more}
    if client == "anthropic":
        return ChatAnthropic(base_url=URL, **more)
    return ChatOpenAI(base_url=f"{URL}/v1", use_responses_api=client == "responses", **more)


def ask(model, messages, streamed):
    """The answer as one message."""
    if not streamed:
        return model.invoke(messages)
    first, *rest = model.stream(messages)
    return sum(rest, first)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_chat_is_answered_and_counted(client):
    answer = chat(MODEL, client).invoke("Say hello in one short sentence.")
    assert answer.text.strip()
    assert answer.usage_metadata["input_tokens"] > 0
    assert 0 < answer.usage_metadata["output_tokens"] <= 64


@pytest.mark.parametrize("client", CLIENTS)
def test_a_stream_adds_up(client):
    more = {} if client == "responses" else {"stream_usage": True}
    whole = ask(chat(MODEL, client, **more), "Say hello in one short sentence.", streamed=True)
    assert whole.text.strip()
    assert 0 < whole.usage_metadata["output_tokens"] <= 64


@pytest.mark.parametrize("model", CHATS)
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("streamed", [False, True])
def test_every_provider_chats(model, client, streamed):
    more = {} if client == "responses" else {"stream_usage": True}
    answer = ask(
        chat(model, client, DOUBLES_KEY, **more), [SystemMessage("You are brief."), HumanMessage("Hello")], streamed
    )
    assert answer.text == GREETING
    assert answer.usage_metadata["input_tokens"] == PROMPT_TOKENS


@pytest.mark.parametrize("model", CHATS)
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("streamed", [False, True])
def test_every_provider_calls_a_tool_and_takes_its_result(model, client, streamed):
    ours = chat(model, client, DOUBLES_KEY).bind_tools([get_weather])
    asked = ask(ours, [QUESTION], streamed)
    [call] = asked.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", ARGUMENTS)
    result = ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])
    assert ask(ours, [QUESTION, asked, result], streamed).text == AFTER_TOOL


@pytest.mark.parametrize(
    "model", [name for name in CHATS if name.endswith(("claude", "invoke", "anthropic", "gemini"))]
)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_thinking_model_goes_on_although_langchain_drops_its_thinking(model, streamed):
    """LangChain's client for OpenAI leaves out `reasoning_details`, in which sealed thinking comes. Claude wants it back
    before a call that it led to, but only while it is to think: such a turn is gone on with without thinking."""
    ours = chat(model, "openai", DOUBLES_KEY, reasoning_effort="low", max_tokens=4000).bind_tools([get_weather])
    asked = ask(ours, [QUESTION], streamed)
    assert "reasoning_details" not in str(asked)
    [call] = asked.tool_calls
    result = ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])
    assert ask(ours, [QUESTION, asked, result], streamed).text == AFTER_TOOL


@pytest.mark.parametrize("model", CHATS)
@pytest.mark.parametrize("client", CLIENTS)
def test_every_provider_answers_as_a_schema_says(model, client):
    ours = chat(model, client, DOUBLES_KEY).with_structured_output(Person, method="json_schema")
    assert ours.invoke("Who was the first programmer?") == Person(**PERSON)


@pytest.mark.parametrize("model", EMBEDDINGS)
def test_every_provider_with_embeddings_makes_vectors(model):
    embeddings = OpenAIEmbeddings(
        model=model, base_url=f"{URL}/v1", api_key=DOUBLES_KEY, check_embedding_ctx_length=False, max_retries=0
    )
    for text, vector in zip(["hello", "world"], embeddings.embed_documents(["hello", "world"]), strict=True):
        assert vector == vector_of(text, len(vector))
    query = embeddings.embed_query("hello")
    assert query == vector_of("hello", len(query))
