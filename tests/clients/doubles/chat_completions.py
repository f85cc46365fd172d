"""OpenAI's chat completions: what is in a request, and answers to it, plain and streamed."""

import json

from . import script
from .script import Asked, is_person
from .shape import ANY, ByField, Either, Misfit, Nullable, Text, Within

NAME = Text("[a-zA-Z0-9_-]{1,64}")
TEXT_PART = {"text": str, "prompt_cache_breakpoint?": ANY}
# OpenAI's library puts a stream's `index` and an answer's `annotations` into what it gives back; we assume that
# OpenAI takes them.
CALL = {"id": Text(".{1,64}"), "type": {"function"}, "function": {"name": NAME, "arguments": str}, "index?": int}
MESSAGE = ByField(
    "role",
    {
        role: {"content": Either(str, [ByField("type", {"text": TEXT_PART})]), "name?": NAME}
        for role in ("system", "developer")
    }
    | {
        "user": {
            "content": Either(
                str,
                [
                    ByField(
                        "type",
                        {
                            "text": TEXT_PART,
                            "image_url": {"image_url": {"url": str, "detail?": {"auto", "low", "high"}}},
                            "input_audio": {"input_audio": {"data": str, "format": {"wav", "mp3"}}},
                            "file": {"file": {"file_data?": str, "file_id?": str, "filename?": str}},
                        },
                    )
                ],
            ),
            "name?": NAME,
        },
        "assistant": {
            "content?": Nullable(Either(str, [ByField("type", {"text": TEXT_PART, "refusal": {"refusal": str}})])),
            "refusal?": Nullable(str),
            "annotations?": list,
            "audio?": Nullable({"id": str}),
            "name?": NAME,
            "tool_calls?": [CALL],
        },
        "tool": {"content": Either(str, [ByField("type", {"text": TEXT_PART})]), "tool_call_id": str},
    },
)
TOOL = {
    "type": {"function"},
    "function": {"name": NAME, "description?": str, "parameters?": dict, "strict?": Nullable(bool)},
}
TOOL_CHOICE = Either({"auto", "none", "required"}, {"type": {"function"}, "function": {"name": NAME}})
FORMAT = ByField(
    "type",
    {
        "text": {},
        "json_object": {},
        "json_schema": {"json_schema": {"name": NAME, "description?": str, "schema?": dict, "strict?": Nullable(bool)}},
    },
)
# The fields of openai's own library (3.54), which is made from OpenAI's description of its API.
REQUEST = {
    "model": str,
    "messages": [MESSAGE],
    "audio?": ANY,
    "frequency_penalty?": Nullable(Within(-2, 2)),
    "logit_bias?": Nullable(dict),
    "logprobs?": Nullable(bool),
    "max_completion_tokens?": Nullable(int),
    "max_tokens?": Nullable(int),
    "metadata?": Nullable(dict),
    "modalities?": Nullable([{"text", "audio"}]),
    "moderation?": ANY,
    "n?": Nullable(Within(1, 128)),
    "parallel_tool_calls?": bool,
    "prediction?": ANY,
    "presence_penalty?": Nullable(Within(-2, 2)),
    "prompt_cache_key?": str,
    "prompt_cache_options?": ANY,
    "prompt_cache_retention?": ANY,
    "reasoning_effort?": Nullable({"none", "minimal", "low", "medium", "high", "xhigh", "max"}),
    "response_format?": FORMAT,
    "safety_identifier?": str,
    "seed?": Nullable(int),
    "service_tier?": Nullable({"auto", "default", "flex", "scale", "priority", "fast"}),
    "stop?": Nullable(Either(str, [str])),
    "store?": Nullable(bool),
    "stream?": Nullable(bool),
    "stream_options?": Nullable({"include_usage?": bool, "include_obfuscation?": bool}),
    "temperature?": Nullable(Within(0, 2)),
    "tool_choice?": TOOL_CHOICE,
    "tools?": [TOOL],
    "top_logprobs?": Nullable(Within(0, 20)),
    "top_p?": Nullable(Within(0, 1)),
    "user?": str,
    "verbosity?": Nullable({"low", "medium", "high"}),
    "web_search_options?": ANY,
}


def text_of(content):
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or [])


def asked(body):
    """The request as the script follows it."""
    messages = body["messages"]
    results = []
    for message in reversed(messages):
        if message["role"] != "tool":
            break
        results.insert(0, text_of(message["content"]))
    schema = (body.get("response_format") or {}).get("json_schema", {}).get("schema")
    forbidden = body.get("tool_choice") == "none"
    functions = [] if forbidden else [tool["function"] for tool in body.get("tools") or []]
    tools = {function["name"]: function.get("parameters") for function in functions}
    thinks = body.get("reasoning_effort") not in (None, "none")
    return Asked(tools=tools, results=results, wants_person=is_person(schema), thinks=thinks)


def check_calls(messages):
    """Every call is answered at once, and nothing is answered that was not called."""
    open_calls = []
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                raise Misfit(("messages", index, "role"), "a tool's message must follow the call that it answers")
            open_calls.remove(message["tool_call_id"])
            continue
        if open_calls:
            raise Misfit(("messages", index), f"these calls have no answer: {open_calls}")
        open_calls = [call["id"] for call in message.get("tool_calls") or []]
        for call in message.get("tool_calls") or []:
            json.loads(call["function"]["arguments"])
    if open_calls:
        raise Misfit(("messages",), f"these calls have no answer: {open_calls}")


def usage(thinks):
    thinking = script.THINKING_TOKENS if thinks else 0
    output = script.OUTPUT_TOKENS + thinking
    return {
        "prompt_tokens": script.PROMPT_TOKENS,
        "completion_tokens": output,
        "total_tokens": script.PROMPT_TOKENS + output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": thinking, "audio_tokens": 0},
    }


def call_of(told, call_id):
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": told.call, "arguments": json.dumps(told.arguments)},
    }


def whole(told, head, used, call_id):
    """An answer in one piece."""
    message = {"role": "assistant", "content": told.text or None, "refusal": None, "annotations": []}
    if told.call:
        message["tool_calls"] = [call_of(told, call_id)]
    finish = "tool_calls" if told.call else "stop"
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": used}


def deltas(told, call_id):
    """What a stream's chunks add: who speaks, then words or a call in fragments."""
    if not told.call:
        yield {"role": "assistant", "content": "", "refusal": None}
        yield from ({"content": word} for word in told.words)
        return
    call = call_of(told, call_id)
    arguments = call["function"].pop("arguments")
    begun = {"index": 0, **call, "function": {**call["function"], "arguments": ""}}
    yield {"role": "assistant", "content": None, "tool_calls": [begun], "refusal": None}
    for part in (arguments[:5], arguments[5:]):
        yield {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}


def chunks(told, head, used, call_id, include_usage):
    """A stream; usage comes with empty choices, and only where it was asked for."""
    head = {**head, "object": "chat.completion.chunk"}
    counted = {"usage": None} if include_usage else {}
    for delta in deltas(told, call_id):
        yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}], **counted}
    finish = "tool_calls" if told.call else "stop"
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}], **counted}
    if include_usage:
        yield {**head, "choices": [], "usage": used}
