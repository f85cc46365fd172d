"""What is no chat, with the official clients unmodified: through the real binary to a scripted double of a provider."""

import base64
import http.server
import json
import struct
import threading

import anthropic
import openai
import pytest

from harness import API_KEY, URL, Superuser, eventually, key_for_all_models

SECRET = "sk-double-0123456789"
PICTURE = base64.b64encode(b"\x89PNG not really").decode()
SOUND = b"ID3\x00\xff sound"
USED = {"input_tokens": 10, "output_tokens": 1000, "total_tokens": 1010}


def events(*datas):
    return "text/event-stream", "".join(f"data: {json.dumps(data)}\n\n" for data in datas).encode()


class Double(http.server.BaseHTTPRequestHandler):
    """Answers as OpenAI and Anthropic do, and keeps what it was sent."""

    protocol_version = "HTTP/1.1"
    received = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        kind, answer = self.answer(body)
        if not isinstance(answer, bytes):
            answer = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def answer(self, body):
        json_type = "application/json"
        path = self.path
        asked = json.loads(body) if self.headers["Content-Type"] == json_type else {}
        if path == "/v1/embeddings":
            vector = [1.0, -2.5]
            if asked.get("encoding_format") == "base64":
                vector = base64.b64encode(struct.pack("<2f", *vector)).decode()
            data = [{"object": "embedding", "index": n, "embedding": vector} for n in range(len(asked["input"]))]
            return json_type, {"object": "list", "model": "m", "data": data, "usage": {"prompt_tokens": 9, "total_tokens": 9}}
        if path == "/v1/images/generations" and asked.get("stream"):
            return events(
                {"type": "image_generation.partial_image", "b64_json": "aa", "partial_image_index": 0},
                {"type": "image_generation.completed", "b64_json": PICTURE, "usage": USED},
            )
        if path in ("/v1/images/generations", "/v1/images/edits"):
            return json_type, {"created": 1, "data": [{"b64_json": PICTURE}], "usage": USED}
        if path in ("/v1/audio/transcriptions", "/v1/audio/translations"):
            return json_type, {"text": "Hello", "usage": {"type": "duration", "seconds": 90}}
        if path == "/v1/audio/speech" and asked.get("stream_format") == "sse":
            return events(
                {"type": "speech.audio.delta", "audio": base64.b64encode(SOUND).decode()},
                {"type": "speech.audio.done", "usage": {"input_tokens": 10, "output_tokens": 100, "total_tokens": 110}},
            )
        if path == "/v1/audio/speech":
            return "audio/mpeg", SOUND
        if path == "/v1/moderations":
            result = {"flagged": True, "categories": {"violence": True}, "category_scores": {"violence": 0.9}}
            return json_type, {"id": "modr-1", "model": "m", "results": [result]}
        if path == "/v1/messages/count_tokens":
            return json_type, {"input_tokens": 14}
        raise AssertionError(f"nobody expected {path}")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def double():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Double)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}/v1"
    superuser = Superuser()
    keys = {}
    for provider in ("openai", "anthropic"):
        record = {"name": f"Double {provider}", "provider": provider, "base_url": base, "secret": SECRET, "active": True}
        keys[provider] = superuser.create("provider_keys", record)["id"]
    # The names at the provider are those of the price book, which has their prices.
    for name, provider, model in [
        ("task-embed", "openai", "text-embedding-3-small"),
        ("task-image", "openai", "gpt-image-1.5"),
        ("task-whisper", "openai", "whisper-1"),
        ("task-tts", "openai", "tts-1"),
        ("task-tts-new", "openai", "gpt-4o-mini-tts"),
        ("task-moderation", "openai", "omni-moderation-latest"),
        ("task-claude", "anthropic", "claude-sonnet-4-5"),
    ]:
        deployments = [{"provider_key": keys[provider], "model": model, "weight": 1, "order": 0}]
        superuser.create("models", {"name": name, "active": True, "deployments": deployments})
    superuser.key = key_for_all_models(superuser, "tasks")
    yield superuser
    server.shutdown()


def client(double):
    return openai.OpenAI(base_url=f"{URL}/v1", api_key=double.key, max_retries=0, timeout=30)


def cost(superuser, raw):
    """US dollars that the provider takes, as the log has them."""
    request_id = raw.headers["x-request-id"]
    found = eventually(lambda: superuser.list("usage_logs", f"request_id='{request_id}'"), f"the log of {request_id}")[0]
    assert found["status"] == "ok"
    assert not found["estimated"]
    return found["provider_cost"]


def test_embeddings(double):
    # The client asks for base64 by itself.
    raw = client(double).embeddings.with_raw_response.create(model="task-embed", input=["One", "Two"], dimensions=2)
    answer = raw.parse()
    assert [item.embedding for item in answer.data] == [[1.0, -2.5], [1.0, -2.5]]
    assert cost(double, raw) == pytest.approx(9 * 0.02 / 1e6)
    path, headers, body = Double.received[-1]
    assert headers["authorization"] == f"Bearer {SECRET}"
    assert json.loads(body)["model"] == "text-embedding-3-small"
    floats = client(double).embeddings.create(model="task-embed", input="One", encoding_format="float")
    assert floats.data[0].embedding == [1.0, -2.5]


def test_a_picture_is_made_streamed_and_changed(double):
    expected = (10 * 5 + 1000 * 32) / 1e6
    raw = client(double).images.with_raw_response.generate(model="task-image", prompt="A cat", size="1024x1024", quality="low")
    assert raw.parse().data[0].b64_json == PICTURE
    assert cost(double, raw) == pytest.approx(expected)
    stream = client(double).images.generate(model="task-image", prompt="A cat", stream=True, partial_images=1)
    kinds = [event.type for event in stream]
    assert kinds == ["image_generation.partial_image", "image_generation.completed"]
    pictures = [("a.png", b"\x89PNG 1", "image/png"), ("b.png", b"\x89PNG 2", "image/png")]
    raw = client(double).images.with_raw_response.edit(model="task-image", image=pictures, prompt="Red")
    assert raw.parse().data[0].b64_json == PICTURE
    assert cost(double, raw) == pytest.approx(expected)
    body = Double.received[-1][2]
    assert body.count(b'name="image[]"') == 2 and b"gpt-image-1.5" in body and b"task-image" not in body


def test_a_recording_is_written_down_and_translated(double):
    recording = ("hello.mp3", b"ID3" + b"\x00" * 5000)
    raw = client(double).audio.transcriptions.with_raw_response.create(model="task-whisper", file=recording)
    assert raw.parse().text == "Hello"
    assert cost(double, raw) == pytest.approx(90 * 0.0001)
    text = client(double).audio.transcriptions.create(model="task-whisper", file=recording, response_format="text")
    assert text == "Hello\n"
    assert client(double).audio.translations.create(model="task-whisper", file=recording).text == "Hello"
    assert Double.received[-1][0] == "/v1/audio/translations"


def test_speech_is_heard(double):
    with client(double).audio.speech.with_streaming_response.create(model="task-tts", voice="alloy", input="Grüße") as raw:
        assert raw.headers["content-type"] == "audio/mpeg"
        assert b"".join(raw.iter_bytes()) == SOUND
    assert cost(double, raw) == pytest.approx(5 * 15 / 1e6)
    # Newer models are asked for events, which say what was used; the client hears the same.
    raw = client(double).audio.speech.with_raw_response.create(
        model="task-tts-new", voice="alloy", input="Hi", response_format="opus"
    )
    assert raw.content == SOUND
    assert raw.headers["content-type"] == "audio/ogg"
    assert cost(double, raw) == pytest.approx((10 * 0.6 + 100 * 12) / 1e6)


def test_moderations_cost_nothing(double):
    raw = client(double).moderations.with_raw_response.create(model="task-moderation", input="x")
    assert raw.parse().results[0].categories.violence
    assert cost(double, raw) == 0


def test_what_a_model_has_not_is_a_bad_request(double):
    for ask in (
        lambda: client(double).embeddings.create(model="task-claude", input="x"),
        lambda: client(double).images.generate(model="task-claude", prompt="x"),
        lambda: client(double).audio.speech.create(model="task-claude", voice="alloy", input="x"),
        lambda: client(double).audio.transcriptions.create(model="task-claude", file=("a.mp3", b"ID3")),
    ):
        with pytest.raises(openai.BadRequestError, match="choose another model"):
            ask()


def test_anthropics_client_counts_tokens_and_lists_models(double):
    claude = anthropic.Anthropic(base_url=URL, api_key=double.key, max_retries=0)
    messages = [{"role": "user", "content": "Hello there"}]
    assert claude.messages.count_tokens(model="task-claude", messages=messages).input_tokens == 14
    # Nobody counts there, so it is an estimate.
    assert claude.messages.count_tokens(model="task-embed", messages=messages).input_tokens > 3
    model = claude.models.retrieve("task-claude")
    assert (model.type, model.id) == ("model", "task-claude")
    assert model.created_at.year >= 2026
    assert "task-claude" in [model.id for model in claude.models.list()]
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.count_tokens(model="no-such-model", messages=messages)


def test_the_demo_provider_answers_first_steps():
    first = openai.OpenAI(base_url=f"{URL}/v1", api_key=API_KEY, max_retries=0)
    vectors = first.embeddings.create(model="demo", input=["a", "b", "a"]).data
    assert vectors[0].embedding == vectors[2].embedding != vectors[1].embedding
    assert first.moderations.create(model="demo", input="x").results[0].flagged is False
