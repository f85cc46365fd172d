"""OpenAI: chat completions, Responses and embeddings."""

import base64
import struct
from itertools import count

from . import chat_completions, responses
from .script import PROMPT_TOKENS, tell, vector_of
from .server import Refusal, answer_json, server_sent
from .shape import Either, Misfit, Missing, Unknown, Within, check, dotted

SECRET = "sk-double-openai-1234"
EMBEDDINGS = {
    "model": str,
    "input": Either(str, [str], [int], [[int]]),
    "dimensions?": Within(1, 3072),
    "encoding_format?": {"float", "base64"},
    "user?": str,
}
# Models that think: they refuse `max_tokens` and, we assume, all sampling settings but the usual ones.
REASONING = ("gpt-5", "o1", "o3", "o4")
NUMBERS = count(1)


def error(status, message, param=None, code=None, kind="invalid_request_error"):
    return Refusal(status, {"error": {"message": message, "type": kind, "param": param, "code": code}})


def as_refusal(misfit):
    """A misfit in OpenAI's words."""
    path = dotted(misfit.path)
    if isinstance(misfit, Unknown) and len(misfit.path) == 1:
        return error(400, f"Unrecognized request argument supplied: {path}")
    if isinstance(misfit, Unknown):
        # What OpenAI does with unknown fields inside of messages is told differently in different years; we
        # assume that it refuses them.
        return error(400, f"Unknown parameter: '{path}'.", path, "unknown_parameter")
    if isinstance(misfit, Missing):
        return error(400, f"Missing required parameter: '{path}'.", path, "missing_required_parameter")
    return error(400, f"Invalid value for '{path}': {misfit.why}, got {misfit.value!r}.", path, "invalid_value")


def checked(body, shape):
    try:
        check(body, shape)
        if "messages" in body:
            chat_completions.check_calls(body["messages"])
    except Misfit as misfit:
        raise as_refusal(misfit) from misfit
    return body


def refuse_for_reasoning(body, model):
    if not model.startswith(REASONING):
        if "reasoning_effort" in body:
            raise error(400, "Unrecognized request argument supplied: reasoning_effort")
        return
    if body.get("max_tokens") is not None:
        message = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        )
        raise error(400, message, "max_tokens", "unsupported_parameter")
    for field, usual in [("temperature", 1), ("top_p", 1), ("presence_penalty", 0), ("frequency_penalty", 0)]:
        if body.get(field, usual) not in (usual, None):
            raise error(
                400,
                f"Unsupported value: '{field}' does not support {body[field]} with this model.",
                field,
                "unsupported_value",
            )


def refuse(message):
    raise error(400, message)


def head(model):
    return {
        "id": f"chatcmpl-{next(NUMBERS)}",
        "created": 1787150000,
        "model": model,
        "service_tier": "default",
        "system_fingerprint": None,
    }


def chat(body, model):
    """Answers a chat; the model that works may have another name than the one asked for."""
    checked(body, chat_completions.REQUEST)
    refuse_for_reasoning(body, model)
    asked = chat_completions.asked(body)
    told = tell(asked, refuse)
    used = chat_completions.usage(asked.thinks)
    call_id = f"call_double{next(NUMBERS)}"
    if not body.get("stream"):
        return chat_completions.whole(told, head(model), used, call_id), None
    include_usage = (body.get("stream_options") or {}).get("include_usage", False)
    return None, list(chat_completions.chunks(told, head(model), used, call_id, include_usage))


def embeddings(body, model, as_base64=True):
    checked(body, EMBEDDINGS)
    texts = (
        body["input"] if isinstance(body["input"], list) and not isinstance(body["input"][0], int) else [body["input"]]
    )
    data = []
    for index, text in enumerate(texts):
        vector = vector_of(text, body.get("dimensions", 8))
        if body.get("encoding_format") == "base64" and as_base64:
            vector = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    used = {"prompt_tokens": PROMPT_TOKENS, "total_tokens": PROMPT_TOKENS}
    return {"object": "list", "data": data, "model": model, "usage": used}


def served(model):
    """Names as the provider tells them: with the day of the version."""
    return f"{model}-2025-08-07"


MODELS = {"gpt-5", "gpt-4o-mini", "text-embedding-3-small"}


def answer(request):
    if request.headers.get("authorization") != f"Bearer {SECRET}":
        raise error(401, "Incorrect API key provided.", code="invalid_api_key")
    body = request.json()
    if body.get("model") not in MODELS:
        raise error(
            404,
            f"The model `{body.get('model')}` does not exist or you do not have access to it.",
            code="model_not_found",
        )
    match request.path:
        case "/v1/chat/completions":
            whole, chunks = chat(body, served(body["model"]))
            return answer_json(whole) if chunks is None else server_sent([*chunks, "[DONE]"])
        case "/v1/responses":
            whole, events = responses.respond(body, served(body["model"]), as_refusal, refuse)
            return answer_json(whole) if events is None else server_sent(events)
        case "/v1/embeddings":
            return answer_json(embeddings(body, body["model"]))
    raise error(404, f"Invalid URL (POST {request.path})")
