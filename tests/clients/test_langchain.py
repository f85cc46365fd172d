"""LangChain's chat models for OpenAI and Anthropic, unmodified, on providers of every kind."""

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from doubles import AFTER_TOOL, ARGUMENTS, KINDS, PERSON, Double
from harness import API_KEY, MODEL, URL, Superuser, key_for_all_models

# OpenAI itself is reached by Responses in its double; chats go to the others.
CHATS = [kind for kind in KINDS if kind != "openai"]
CLIENTS = ["openai", "anthropic"]


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"{city} is sunny"


@pytest.fixture(scope="module", params=CHATS)
def double(request):
    double = Double(Superuser(), request.param)
    yield double
    double.stop()


def chat(model, client="openai", **more):
    if client == "anthropic":
        return ChatAnthropic(model=model, base_url=URL, api_key=API_KEY, max_tokens=64, max_retries=0, timeout=60, **more)
    return ChatOpenAI(model=model, base_url=f"{URL}/v1", api_key=API_KEY, max_tokens=64, max_retries=0, timeout=60, **more)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_chat_is_answered_and_counted(client):
    answer = chat(MODEL, client).invoke("Say hello in one short sentence.")
    assert answer.text.strip()
    assert answer.usage_metadata["input_tokens"] > 0
    assert 0 < answer.usage_metadata["output_tokens"] <= 64


@pytest.mark.parametrize("client", CLIENTS)
def test_a_stream_adds_up(client):
    more = {"stream_usage": True}
    chunks = list(chat(MODEL, client, **more).stream("Say hello in one short sentence."))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert whole.text.strip()
    assert 0 < whole.usage_metadata["output_tokens"] <= 64


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_is_called_and_answered(double, client, streamed):
    model = chat(double.model, client).bind_tools([get_weather])
    question = HumanMessage("How is the weather in Berlin?")
    if streamed:
        chunks = list(model.stream([question]))
        asked = chunks[0]
        for chunk in chunks[1:]:
            asked += chunk
    else:
        asked = model.invoke([question])
    [call] = asked.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", ARGUMENTS)
    if "anthropic" in double.model and client == "openai":
        # LangChain's client for OpenAI leaves sealed thinking out, which the double wants back.
        return
    result = ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])
    assert model.invoke([question, asked, result]).text == AFTER_TOOL


def test_an_answer_has_the_structure_that_was_asked_for(double):
    model = chat(double.model).with_structured_output(Person, method="json_schema")
    assert model.invoke("Who was the first programmer?") == Person(**PERSON)


def test_texts_become_vectors():
    superuser = Superuser()
    key = key_for_all_models(superuser, "langchain-embeddings")
    demo = superuser.create("provider_keys", {"name": "langchain demo", "provider": "demo", "active": True})
    superuser.create(
        "models",
        {
            "name": "langchain-vectors",
            "deployments": [{"provider_key": demo["id"], "model": "demo-embedding"}],
            "prices": {"input": 0.02, "output": 0},
            "context_window": 8192,
            "active": True,
        },
    )
    embeddings = OpenAIEmbeddings(
        model="langchain-vectors", base_url=f"{URL}/v1", api_key=key, check_embedding_ctx_length=False, max_retries=0
    )
    [hello, world] = embeddings.embed_documents(["hello", "world"])
    assert len(hello) == len(world) > 0
    assert hello != world
    assert embeddings.embed_query("hello") == hello
