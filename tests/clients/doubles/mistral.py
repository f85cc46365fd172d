"""Mistral: chat completions in its own dialect, and embeddings. Fields it does not know are refused with 422."""

from itertools import count

from . import chat_completions, openai, script
from .script import tell
from .server import Refusal, answer_json, server_sent
from .shape import ANY, ByField, Either, Misfit, Missing, Nullable, Text, Unknown, Within, check

SECRET = "double-mistral-1234"
MODEL = "mistral-small-latest"
EMBEDDING_MODEL = "mistral-embed"
CALL_ID = Text("[a-zA-Z0-9]{9}")
PARTS = [
    ByField(
        "type",
        {
            "text": {"text": str},
            "image_url": {"image_url": Either(str, {"url": str, "detail?": str})},
            "document_url": {"document_url": str, "document_name?": str},
            "input_audio": {"input_audio": ANY},
            "thinking": {"thinking": list, "closed?": bool},
        },
    )
]
CONTENT = Nullable(Either(str, PARTS))
CALL = {
    "id": CALL_ID,
    "type?": {"function"},
    "index?": int,
    "function": {"name": str, "arguments": Either(str, dict)},
}
# The fields of mistralai's own library (3.7).
REQUEST = {
    "model": str,
    "messages": [
        ByField(
            "role",
            {
                "system": {"content": CONTENT},
                "user": {"content": CONTENT},
                "assistant": {"content?": CONTENT, "tool_calls?": Nullable([CALL]), "prefix?": bool},
                "tool": {"content": CONTENT, "tool_call_id?": CALL_ID, "name?": Nullable(str)},
            },
        )
    ],
    "temperature?": Nullable(Within(0, 1.5)),
    "top_p?": Nullable(Within(0, 1)),
    "max_tokens?": Nullable(int),
    "stream?": bool,
    "stop?": Nullable(Either(str, [str])),
    "random_seed?": Nullable(int),
    "metadata?": Nullable(dict),
    "response_format?": chat_completions.FORMAT,
    "tools?": Nullable(
        [{"type?": {"function"}, "function": {"name": str, "parameters": dict, "description?": str, "strict?": bool}}]
    ),
    "tool_choice?": Either({"auto", "none", "any", "required"}, {"type?": {"function"}, "function": {"name": str}}),
    "presence_penalty?": Nullable(Within(-2, 2)),
    "frequency_penalty?": Nullable(Within(-2, 2)),
    "n?": Nullable(int),
    "prediction?": ANY,
    "parallel_tool_calls?": bool,
    "reasoning_effort?": Nullable({"none", "high"}),
    "prompt_mode?": ANY,
    "guardrails?": ANY,
    "prompt_cache_key?": Nullable(str),
    "service_tier?": Nullable(str),
    "safe_prompt?": bool,
}
EMBEDDINGS = {
    "model": str,
    "input": Either(str, [str]),
    "metadata?": Nullable(dict),
    "output_dimension?": Nullable(int),
    "output_dtype?": {"float", "int8", "uint8", "binary", "ubinary"},
    "encoding_format?": {"float", "base64"},
}
NUMBERS = count(1)


def refuse(message):
    raise Refusal(
        400, {"object": "error", "message": message, "type": "invalid_request_error", "param": None, "code": None}
    )


def checked(body, shape):
    try:
        check(body, shape)
    except Misfit as misfit:
        kinds = {Unknown: ("extra_forbidden", "Extra inputs are not permitted"), Missing: ("missing", "Field required")}
        kind, why = kinds.get(type(misfit), ("value_error", misfit.why))
        loc = ["body", *misfit.path]
        # Which kind of message it is stands in the place too.
        if len(misfit.path) > 2 and misfit.path[0] == "messages":
            loc.insert(3, body["messages"][misfit.path[1]]["role"])
        detail = [{"type": kind, "loc": loc, "msg": why, "input": misfit.value}]
        message = {"detail": detail}
        raise Refusal(
            422, {"object": "error", "message": message, "type": "invalid_request_error", "param": None, "code": None}
        ) from misfit
    return body


def check_order(messages):
    """Calls and answers pair up, and the last word is not the assistant's."""
    last = messages[-1]
    if last["role"] not in ("user", "tool") and not last.get("prefix"):
        refuse(f"Expected last role User or Tool (or Assistant with prefix True) for serving but got {last['role']}")
    called = [call["id"] for message in messages for call in message.get("tool_calls") or []]
    answered = [message["tool_call_id"] for message in messages if message["role"] == "tool"]
    if sorted(called) != sorted(answered):
        refuse("Not the same number of function calls and responses")


def call_id():
    return f"D{next(NUMBERS):08d}"


def usage():
    return {
        "prompt_tokens": script.PROMPT_TOKENS,
        "total_tokens": script.PROMPT_TOKENS + script.OUTPUT_TOKENS,
        "completion_tokens": script.OUTPUT_TOKENS,
        "prompt_tokens_details": {"cached_tokens": 0},
        "service_tier": "standard",
    }


def chunks(told, head):
    """A call comes whole, in the chunk that ends the answer and brings the usage."""
    head = {**head, "object": "chat.completion.chunk"}
    end = {}
    if told.call:
        deltas = [{"role": "assistant", "content": ""}]
        end = {"tool_calls": [{**chat_completions.call_of(told, call_id()), "index": 0}]}
    else:
        deltas = [{"role": "assistant", "content": ""}, *({"content": word} for word in told.words[:-1])]
        end = {"content": told.words[-1]}
    for delta in deltas:
        yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}], "p": "abcdefgh"}
    finish = "tool_calls" if told.call else "stop"
    yield {**head, "choices": [{"index": 0, "delta": end, "finish_reason": finish}], "usage": usage(), "p": "abc"}
    yield "[DONE]"


def chat(body):
    checked(body, REQUEST)
    check_order(body["messages"])
    told = tell(chat_completions.asked(body), refuse)
    head = {"id": f"{next(NUMBERS):032x}", "created": 1787150000, "model": body["model"]}
    if body.get("stream"):
        return server_sent(chunks(told, head))
    calls = [chat_completions.call_of(told, call_id())] if told.call else None
    message = {"role": "assistant", "tool_calls": calls, "content": told.text}
    choice = {"index": 0, "finish_reason": "tool_calls" if told.call else "stop", "message": message}
    return answer_json({**head, "usage": usage(), "object": "chat.completion", "choices": [choice]})


def embeddings(body):
    checked(body, EMBEDDINGS)
    asked = {"model": body["model"], "input": body["input"], "dimensions": body.get("output_dimension", 8)}
    return answer_json({"id": f"{next(NUMBERS):032x}", **openai.embeddings(asked, body["model"])})


def answer(request):
    if request.headers.get("authorization") != f"Bearer {SECRET}":
        raise Refusal(401, {"detail": "Invalid API Key"})
    body = request.json()
    if body.get("model") not in (MODEL, EMBEDDING_MODEL):
        refuse(f"Invalid model: {body.get('model')}")
    match request.path:
        case "/v1/chat/completions":
            return chat(body)
        case "/v1/embeddings":
            return embeddings(body)
    raise Refusal(404, {"message": "no Route matched with those values"})
