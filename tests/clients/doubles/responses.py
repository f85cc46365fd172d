"""OpenAI's Responses: what is in a request, and answers to it, plain and streamed."""

import json
from itertools import count

from . import script
from .script import Asked, is_person, tell
from .shape import ANY, ByField, Either, Misfit, Nullable, Text, Within, check

NAME = Text("[a-zA-Z0-9_-]{1,64}")
TEXT = {"text": str, "annotations?": list, "logprobs?": list}
INPUT_PART = {
    "input_text": {"text": str, "prompt_cache_breakpoint?": ANY},
    "input_image": {"image_url?": str, "file_id?": str, "detail?": str},
    "input_file": {"file_data?": str, "file_id?": str, "filename?": str, "file_url?": str},
}
OUTPUT_PART = {"output_text": TEXT, "refusal": {"refusal": str}}
MESSAGE = {
    "role": {"user", "assistant", "system", "developer"},
    "content": Either(str, [ByField("type", INPUT_PART | OUTPUT_PART)]),
    "id?": str,
    "status?": str,
    "phase?": ANY,
}
ITEMS = {
    "message": MESSAGE,
    "function_call": {
        "call_id": Text(".{1,64}"),
        "name": NAME,
        "arguments": str,
        "id?": Text("fc_.+"),
        "status?": str,
        "namespace?": ANY,
        "caller?": ANY,
        "async?": ANY,
    },
    "function_call_output": {
        "call_id": str,
        "output": Either(str, list),
        "id?": Nullable(str),
        "status?": Nullable(str),
    },
    # Nothing is kept here, so thinking comes back sealed or not at all.
    "reasoning": {"summary": list, "encrypted_content": Text("gAAAA.+"), "id?": str, "status?": ANY, "content?": ANY},
}
TOOL = {
    "type": {"function"},
    "name": NAME,
    "parameters": Nullable(dict),
    "strict?": Nullable(bool),
    "description?": Nullable(str),
}
FORMAT = ByField(
    "type",
    {
        "text": {},
        "json_object": {},
        "json_schema": {"name": NAME, "schema": dict, "strict?": Nullable(bool), "description?": Nullable(str)},
    },
)
# The fields of openai's own library (3.54).
REQUEST = {
    "model": str,
    "input": Either(str, [Either(ByField("type", ITEMS), MESSAGE)]),
    "background?": Nullable(bool),
    "include?": Nullable([str]),
    "instructions?": Nullable(str),
    "max_output_tokens?": Nullable(Within(16, 1_000_000)),
    "max_tool_calls?": Nullable(int),
    "metadata?": Nullable(dict),
    "parallel_tool_calls?": Nullable(bool),
    "previous_response_id?": Nullable(str),
    "prompt?": ANY,
    "prompt_cache_key?": str,
    "prompt_cache_options?": ANY,
    "prompt_cache_retention?": ANY,
    "reasoning?": Nullable({"effort?": Nullable(str), "summary?": Nullable(str)}),
    "safety_identifier?": str,
    "service_tier?": Nullable(str),
    "store?": Nullable(bool),
    "stream?": Nullable(bool),
    "stream_options?": ANY,
    "temperature?": Nullable(Within(0, 2)),
    "text?": {"format?": FORMAT, "verbosity?": Nullable(str)},
    "tool_choice?": ANY,
    "tools?": [TOOL],
    "top_logprobs?": Nullable(Within(0, 20)),
    "top_p?": Nullable(Within(0, 1)),
    "truncation?": Nullable({"auto", "disabled"}),
    "user?": str,
}
SEAL = "gAAAA-sealed-by-the-double"
NUMBERS = count(1)


def asked(body):
    items = body["input"] if isinstance(body["input"], list) else []
    results = []
    for item in reversed(items):
        if item.get("type") != "function_call_output":
            break
        output = item["output"]
        results.insert(0, output if isinstance(output, str) else "".join(part.get("text", "") for part in output))
    schema = (body.get("text") or {}).get("format", {}).get("schema")
    offered = [] if body.get("tool_choice") == "none" else body.get("tools") or []
    tools = {tool["name"]: tool["parameters"] for tool in offered}
    return Asked(tools=tools, results=results, wants_person=is_person(schema), thinks=True)


def check_calls(items):
    """Every call is answered and every answer has its call; thinking that led to a call came back before it."""
    called = [item["call_id"] for item in items if item.get("type") == "function_call"]
    answered = [item["call_id"] for item in items if item.get("type") == "function_call_output"]
    if sorted(called) != sorted(answered):
        raise Misfit(("input",), f"calls {called} and their outputs {answered} do not match")


def respond(body, model, as_refusal, refuse):
    try:
        check(body, REQUEST)
        if isinstance(body["input"], list):
            check_calls(body["input"])
    except Misfit as misfit:
        raise as_refusal(misfit) from misfit
    # The gateway keeps answers itself: nothing may be kept at the provider.
    if body.get("store") is not False or body.get("previous_response_id"):
        refuse("this was to be kept at the provider")
    told = tell(asked(body), refuse)
    sealed = "reasoning.encrypted_content" in (body.get("include") or [])
    number = next(NUMBERS)
    reasoning = {"id": f"rs_{number}", "type": "reasoning", "summary": []}
    if sealed:
        reasoning["encrypted_content"] = SEAL
    answer = response(body, model, number, [reasoning, item_of(told, number)])
    if not body.get("stream"):
        return answer, None
    numbered = ({**event, "sequence_number": place} for place, event in enumerate(events(told, answer)))
    return None, [(event["type"], event) for event in numbered]


def item_of(told, number):
    if told.call:
        arguments = json.dumps(told.arguments)
        return {
            "id": f"fc_{number}",
            "type": "function_call",
            "status": "completed",
            "call_id": f"call_double{number}",
            "name": told.call,
            "arguments": arguments,
        }
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": told.text}
    return {"id": f"msg_{number}", "type": "message", "role": "assistant", "status": "completed", "content": [part]}


def response(body, model, number, output):
    thinking = script.THINKING_TOKENS
    used = script.OUTPUT_TOKENS + thinking
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 1787150000,
        "status": "completed",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": "medium", "summary": None},
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": body.get("text", {"format": {"type": "text"}}),
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "metadata": {},
        "usage": {
            "input_tokens": script.PROMPT_TOKENS,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": used,
            "output_tokens_details": {"reasoning_tokens": thinking},
            "total_tokens": script.PROMPT_TOKENS + used,
        },
    }


def events(told, answer):
    begun = {**answer, "status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    reasoning, item = answer["output"]
    yield {"type": "response.output_item.added", "output_index": 0, "item": {**reasoning, "encrypted_content": ""}}
    yield {"type": "response.output_item.done", "output_index": 0, "item": reasoning}
    where = {"item_id": item["id"], "output_index": 1}
    if told.call:
        yield {
            "type": "response.output_item.added",
            "output_index": 1,
            "item": {**item, "arguments": "", "status": "in_progress"},
        }
        text = item["arguments"]
        for part in (text[:5], text[5:]):
            yield {"type": "response.function_call_arguments.delta", **where, "delta": part}
        yield {"type": "response.function_call_arguments.done", **where, "name": item["name"], "arguments": text}
    else:
        where["content_index"] = 0
        [part] = item["content"]
        added = {**item, "content": [], "status": "in_progress"}
        yield {"type": "response.output_item.added", "output_index": 1, "item": added}
        yield {"type": "response.content_part.added", **where, "part": {**part, "text": ""}}
        for word in told.words:
            yield {"type": "response.output_text.delta", **where, "delta": word, "logprobs": []}
        yield {"type": "response.output_text.done", **where, "text": told.text, "logprobs": []}
        yield {"type": "response.content_part.done", **where, "part": part}
    yield {"type": "response.output_item.done", "output_index": 1, "item": item}
    yield {"type": "response.completed", "response": answer}
