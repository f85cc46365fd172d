"""Anthropic's Messages, as Anthropic itself, AI Foundry, Vertex AI and Bedrock's InvokeModel have them."""

import json
from itertools import count

from . import script
from .script import Asked, is_person, tell
from .server import Refusal, answer_json, server_sent
from .shape import ANY, ByField, Either, Misfit, Missing, Nullable, Text, Unknown, Within, check

SECRET = "sk-ant-double-1234"
VERSIONS = {"2023-06-01", "2026-10-21"}
MODEL = "claude-haiku-4-5"
SIGNATURE = "RXBvdWJsZS1zZWFs"
NAME = Text("[a-zA-Z0-9_-]{1,128}")
CALL_ID = Text("[a-zA-Z0-9_-]+")
CACHE = {"type": {"ephemeral"}, "ttl?": {"5m", "1h"}}
SOURCE = ByField(
    "type", {"base64": {"media_type": str, "data": str}, "url": {"url": str}, "text": {"media_type": str, "data": str}}
)
TEXT = {"text": Text(r"(?s).*\S.*"), "cache_control?": Nullable(CACHE), "citations?": Nullable(list)}
MEDIA = {
    "image": {"source": SOURCE, "cache_control?": Nullable(CACHE)},
    "document": {
        "source": SOURCE,
        "title?": Nullable(str),
        "cache_control?": Nullable(CACHE),
        "citations?": ANY,
        "context?": ANY,
    },
}
BLOCKS = {
    "user": {
        "text": TEXT,
        **MEDIA,
        "tool_result": {
            "tool_use_id": CALL_ID,
            "content?": Either(str, [ByField("type", {"text": TEXT, **MEDIA})]),
            "is_error?": bool,
            "cache_control?": Nullable(CACHE),
        },
    },
    "assistant": {
        "text": TEXT,
        "thinking": {"thinking": str, "signature": Text(SIGNATURE)},
        "redacted_thinking": {"data": str},
        "tool_use": {"id": CALL_ID, "name": NAME, "input": dict, "cache_control?": Nullable(CACHE), "caller?": ANY},
    },
}
TOOL = {
    "name": NAME,
    "input_schema": dict,
    "description?": str,
    "type?": {"custom"},
    "strict?": bool,
    "cache_control?": Nullable(CACHE),
}
# The fields of anthropic's own library (2.12), and the sampling settings of older models.
REQUEST = {
    "messages": [
        ByField("role", {role: {"content": Either(str, [ByField("type", blocks)])} for role, blocks in BLOCKS.items()})
    ],
    "max_tokens": Within(1, 64_000),
    "stream?": bool,
    "system?": Either(str, [ByField("type", {"text": TEXT})]),
    "tools?": [TOOL],
    "tool_choice?": ByField(
        "type",
        {
            "auto": {"disable_parallel_tool_use?": bool},
            "any": {"disable_parallel_tool_use?": bool},
            "tool": {"name": NAME, "disable_parallel_tool_use?": bool},
            "none": {},
        },
    ),
    "thinking?": ByField(
        "type",
        {
            "enabled": {"budget_tokens": Within(1024, 63_999), "display?": str},
            "adaptive": {"display?": str},
            "disabled": {},
        },
    ),
    "output_config?": {
        "effort?": {"low", "medium", "high", "xhigh", "max"},
        "format?": Nullable({"type": {"json_schema"}, "schema": dict}),
    },
    "stop_sequences?": [Text(r"(?s).*\S.*")],
    "temperature?": Within(0, 1),
    "top_p?": Within(0, 1),
    "top_k?": int,
    "metadata?": {"user_id?": Nullable(str)},
    "service_tier?": {"auto", "standard_only"},
    "inference_geo?": Nullable(str),
    "cache_control?": Nullable(CACHE),
    "context_management?": ANY,
}
NUMBERS = count(1)


def error(status, message, kind="invalid_request_error"):
    return Refusal(
        status,
        {"type": "error", "error": {"type": kind, "message": message}, "request_id": f"req_double{next(NUMBERS)}"},
        {"x-should-retry": "false"},
    )


def refuse(message):
    raise error(400, message)


def checked(body, shape, strict=False):
    try:
        check(body, shape)
        check_turns(body)
    except Misfit as misfit:
        path = ".".join(map(str, misfit.path))
        if isinstance(misfit, Unknown):
            raise error(400, f"{path}: Extra inputs are not permitted") from misfit
        if isinstance(misfit, Missing):
            raise error(400, f"{path}: Field required") from misfit
        raise error(400, f"{path}: {misfit.why}") from misfit
    sampling = [name for name in ("temperature", "top_p", "top_k") if name in body]
    if strict and sampling:
        raise error(400, f"{sampling[0]}: Extra inputs are not permitted")
    return body


def blocks_of(message):
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def check_turns(body):
    """Calls and results pair up in neighbouring messages, and thinking that led to a call comes back before it."""
    thinking = body.get("thinking", {}).get("type")
    if thinking == "enabled" and body["thinking"]["budget_tokens"] >= body["max_tokens"]:
        raise Misfit(("max_tokens",), "must be greater than thinking.budget_tokens")
    if thinking in ("enabled", "adaptive") and body.get("tool_choice", {}).get("type") in ("any", "tool"):
        raise Misfit(("tool_choice",), "thinking may not be enabled when tool_choice forces tool use")
    messages = body["messages"]
    if not messages or messages[0]["role"] != "user":
        raise Misfit(("messages",), "first message must use the user role")
    uses = any(block["type"] in ("tool_use", "tool_result") for message in messages for block in blocks_of(message))
    if uses and not body.get("tools"):
        raise Misfit(("tools",), "must be defined where tools were used")
    called = []
    for index, message in enumerate(messages):
        path = ("messages", index)
        blocks = blocks_of(message)
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if sorted(called) != sorted(results):
            raise Misfit(
                path, f"`tool_use` ids {called} were found without `tool_result` blocks immediately after: {results}"
            )
        if results and blocks[0]["type"] != "tool_result":
            raise Misfit(path, "tool_result blocks come first")
        called = [block["id"] for block in blocks if block["type"] == "tool_use"]
        if called and thinking == "enabled" and blocks[0]["type"] not in ("thinking", "redacted_thinking"):
            kind = blocks[0]["type"]
            raise Misfit(
                (*path, "content", 0, "type"), f"Expected `thinking` or `redacted_thinking`, but found `{kind}`."
            )
    if called:
        raise Misfit(("messages",), f"`tool_use` ids {called} have no result")


def asked(body):
    last = blocks_of(body["messages"][-1])
    results = []
    for block in last:
        if block["type"] == "tool_result":
            content = block.get("content", "")
            results.append(content if isinstance(content, str) else "".join(part.get("text", "") for part in content))
    schema = ((body.get("output_config") or {}).get("format") or {}).get("schema")
    forbidden = body.get("tool_choice", {}).get("type") == "none"
    tools = {} if forbidden else {tool["name"]: tool["input_schema"] for tool in body.get("tools", [])}
    thinks = body.get("thinking", {}).get("type") in ("enabled", "adaptive")
    return Asked(tools=tools, results=results, wants_person=is_person(schema), thinks=thinks)


def usage(thinks):
    return {
        "input_tokens": script.PROMPT_TOKENS,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": script.OUTPUT_TOKENS + (script.THINKING_TOKENS if thinks else 0),
        "service_tier": "standard",
        "inference_geo": "not_available",
    }


def reply(body, model):
    """The answer as one message."""
    wish = asked(body)
    told = tell(wish, refuse)
    content = [{"type": "thinking", "thinking": "Hm.", "signature": SIGNATURE}] if wish.thinks else []
    if told.call:
        content.append(
            {"type": "tool_use", "id": f"toolu_double{next(NUMBERS)}", "name": told.call, "input": told.arguments}
        )
    else:
        content.append({"type": "text", "text": told.text})
    return {
        "model": model,
        "id": f"msg_double{next(NUMBERS)}",
        "type": "message",
        "role": "assistant",
        "content": content,
        "stop_reason": "tool_use" if told.call else "end_turn",
        "stop_sequence": None,
        "stop_details": None,
        "usage": usage(wish.thinks),
    }


def events(message):
    """The answer as the events of a stream."""
    begun = {**message, "content": [], "stop_reason": None, "usage": {**message["usage"], "output_tokens": 1}}
    yield {"type": "message_start", "message": begun}
    for index, block in enumerate(message["content"]):
        empty, deltas = pieces(block)
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        if index == 0:
            yield {"type": "ping"}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ended = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": message["usage"]}
    yield {"type": "message_stop"}


def pieces(block):
    match block["type"]:
        case "thinking":
            seal = {"type": "signature_delta", "signature": block["signature"]}
            return {**block, "thinking": "", "signature": ""}, [
                {"type": "thinking_delta", "thinking": block["thinking"]},
                seal,
            ]
        case "tool_use":
            text = json.dumps(block["input"])
            parts = ("", text[:5], text[5:])
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": part} for part in parts]
    words = script.Told(text=block["text"]).words
    return {**block, "text": ""}, [{"type": "text_delta", "text": word} for word in words]


def messages(request, body, models):
    """Answers where the model is in the body and the version in a header."""
    version = request.headers.get("anthropic-version")
    if version not in VERSIONS:
        raise error(400, "anthropic-version: header is required")
    checked(body, {"model": str, **REQUEST}, strict=version == "2026-10-21")
    if body["model"] not in models:
        raise error(404, f"model: {body['model']}", "not_found_error")
    message = reply(body, f"{body['model']}-20251001")
    return (
        server_sent((event["type"], event) for event in events(message)) if body.get("stream") else answer_json(message)
    )


def answer(request):
    if request.headers.get("x-api-key") != SECRET:
        raise error(401, "invalid x-api-key", "authentication_error")
    if request.path != "/v1/messages":
        raise error(404, "Not found", "not_found_error")
    return messages(request, request.json(), {MODEL})
