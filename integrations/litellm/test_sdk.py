"""LiteLLM's own library as a client of ours, unmodified."""

import os

import litellm
import pytest

URL = os.environ["CF_URL"]
OURS = dict(api_base=f"{URL}/v1", api_key=os.environ["CF_API_KEY"], num_retries=0, timeout=60)
MODEL = f"openai/{os.environ['CF_MODEL']}"
HELLO = [{"role": "user", "content": "Say hello in one short sentence."}]


def test_a_chat_is_answered_and_counted():
    answer = litellm.completion(model=MODEL, messages=HELLO, max_tokens=16, **OURS)
    assert answer.choices[0].message.content.strip()
    assert 0 < answer.usage.completion_tokens <= 16


def test_a_stream_adds_up():
    chunks = list(
        litellm.completion(model=MODEL, messages=HELLO, max_tokens=16, stream=True, stream_options={"include_usage": True}, **OURS)
    )
    whole = litellm.stream_chunk_builder(chunks, messages=HELLO)
    assert whole.choices[0].message.content.strip()
    assert 0 < whole.usage.completion_tokens <= 16


def test_messages_of_anthropic_are_answered():
    ours = {**OURS, "api_base": URL}
    answer = litellm.completion(model=f"anthropic/{os.environ['CF_MODEL']}", messages=HELLO, max_tokens=16, **ours)
    assert answer.choices[0].message.content.strip()


def test_a_wrong_key_and_an_unknown_model_are_errors_of_their_own():
    with pytest.raises(litellm.AuthenticationError):
        litellm.completion(model=MODEL, messages=HELLO, **{**OURS, "api_key": "sk-cf-wrong"})
    with pytest.raises(litellm.NotFoundError):
        litellm.completion(model="openai/no-such-model", messages=HELLO, **OURS)
