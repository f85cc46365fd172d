"""The doubles themselves: they take what real providers took, and refuse what those refuse."""

import json
import os
import struct
import zlib
from pathlib import Path

import pytest

from doubles import (
    anthropic,
    bedrock,
    chat_completions,
    event_stream,
    gemini,
    mistral,
    openai,
    responses,
    sigv4,
    vertex,
)
from doubles.server import Refusal, Request
from doubles.shape import Misfit, Unknown, check

FACTS = Path(__file__).parents[3] / "shared"
# What the gateway does not send: tools that the provider runs itself, and Google's other spelling of its fields.
BEYOND = {
    "audio_input_modality_details.json",
    "google_search_grounding.json",
    "stream_advisor_iterations_other_model.json",
    "stream_two_tool_calls_with_ids.json",
}


def exchanges(folder, *apis):
    """Recorded requests that a provider took."""
    for path in sorted((FACTS / "recordings" / folder).glob("*.json")):
        recorded = json.loads(path.read_text())
        if recorded["api"] in apis and recorded["response"]["status"] == 200 and recorded["request"]["body"]:
            yield path.name, json.loads(recorded["request"]["body"])


@pytest.mark.parametrize(
    "folder, apis, shape",
    [
        ("openai", ["chat/completions"], chat_completions.REQUEST),
        ("openai", ["responses"], responses.REQUEST),
        ("openai", ["embeddings"], openai.EMBEDDINGS),
        ("mistral", ["chat/completions"], mistral.REQUEST),
        ("anthropic", ["messages"], {"model": str, **anthropic.REQUEST}),
        ("gemini", ["generateContent", "streamGenerateContent"], gemini.REQUEST),
        ("vertex", ["generateContent", "streamGenerateContent"], vertex.REQUEST),
        ("bedrock", ["converse", "converse-stream"], bedrock.CONVERSE),
    ],
)
def test_what_a_real_provider_took_the_double_takes(folder, apis, shape):
    if not FACTS.exists():
        assert "CI" not in os.environ, f"there are no recordings at {FACTS}"
        pytest.skip(f"there are no recordings at {FACTS}")
    recorded = [(name, body) for name, body in exchanges(folder, *apis) if name not in BEYOND]
    assert recorded
    for name, body in recorded:
        try:
            check(body, shape)
        except Misfit as misfit:
            pytest.fail(f"{name}: {misfit}")


@pytest.mark.parametrize(
    "answer, shape, body, expected",
    [
        (mistral.checked, mistral.REQUEST, {"model": "m", "messages": [], "user": "u"}, (422, "extra_forbidden")),
        (
            openai.checked,
            chat_completions.REQUEST,
            {"model": "m", "messages": [], "top_k": 1},
            (400, "Unrecognized request argument supplied: top_k"),
        ),
        (gemini.checked, gemini.REQUEST, {"contents": [], "generationConfig": {"n": 1}}, (400, "Unknown name")),
        (
            anthropic.checked,
            anthropic.REQUEST,
            {"messages": [], "max_tokens": 1, "seed": 1},
            (400, "Extra inputs are not permitted"),
        ),
        (bedrock.checked, bedrock.CONVERSE, {"messages": [], "seed": 1}, (400, "seed")),
    ],
)
def test_an_unknown_field_is_refused_in_the_providers_words(answer, shape, body, expected):
    with pytest.raises(Refusal) as refused:
        answer(body, shape)
    status, words = expected
    assert refused.value.reply.status == status
    assert words in refused.value.reply.body.decode()


def test_fields_are_told_by_their_place():
    with pytest.raises(Unknown) as misfit:
        check({"a": [{"b": 1}, {"c": 1}]}, {"a": [{"b?": int}]})
    assert misfit.value.path == ("a", 1, "c")


def test_a_signature_for_something_else_is_refused():
    """A vector of botocore's is of another day: all but the time must fit, and a changed body must not."""
    path = FACTS / "facts" / "sigv4_vectors.json"
    if not path.exists():
        assert "CI" not in os.environ, f"there are no vectors at {path}"
        pytest.skip(f"there are no vectors at {path}")
    for vector in json.loads(path.read_text()):
        _, _, host_and_path = vector["url"].partition("://")
        host, _, rest = host_and_path.partition("/")
        headers = {
            "host": host,
            "content-type": "application/json",
            "x-amz-date": vector["amz_date"],
            "authorization": vector["authorization"],
        }
        if vector["session_token"]:
            headers["x-amz-security-token"] = vector["session_token"]
        request = Request(f"/{rest}", {}, headers, vector["body"].encode())
        key = (vector["access_key"], vector["secret_key"], vector["session_token"], vector["region"], vector["service"])
        then = sigv4.moment(vector["amz_date"])
        assert sigv4.verify(request, *key, now=then) is None, vector["name"]
        assert sigv4.verify(request, *key) == "it is signed for another time"
        request.body += b" "
        assert sigv4.verify(request, *key, now=then) == "the signature does not match"


def test_frames_have_both_checksums():
    frame = event_stream.frame("messageStop", {"stopReason": "end_turn"})
    total, headers = struct.unpack(">II", frame[:8])
    assert total == len(frame)
    assert struct.unpack(">I", frame[8:12]) == (zlib.crc32(frame[:8]),)
    assert struct.unpack(">I", frame[-4:]) == (zlib.crc32(frame[:-4]),)
    assert json.loads(frame[12 + headers : -4]) == {"stopReason": "end_turn"}
