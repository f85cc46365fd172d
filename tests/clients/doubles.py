"""Scripted providers: each answers in its own words what the small local model cannot, calls of tools and JSON."""

import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ARGUMENTS = {"city": "Berlin"}
PERSON = {"name": "Ada", "age": 36}
AFTER_TOOL = "It is sunny."


def _openai_chat(body):
    messages = body["messages"]
    message, finish = {"role": "assistant", "content": AFTER_TOOL}, "stop"
    if body.get("response_format"):
        message["content"] = json.dumps(PERSON)
    elif body.get("tools") and messages[-1]["role"] != "tool":
        call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": json.dumps(ARGUMENTS)}}
        message, finish = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    head = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
    if not body.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return {**head, "object": "chat.completion", "choices": [choice], "usage": usage}, None
    if "tool_calls" in message:
        call = message["tool_calls"][0]
        text = call["function"]["arguments"]
        begun = {"index": 0, **call, "function": {"name": "get_weather", "arguments": ""}}
        deltas = [{"tool_calls": [begun]}]
        deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in (text[:5], text[5:])]
    else:
        deltas = [{"content": word} for word in message["content"].split(" ")]
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish})
    chunks = [{**head, "object": "chat.completion.chunk", "choices": [choice]} for choice in choices]
    chunks.append({**head, "object": "chat.completion.chunk", "choices": [], "usage": usage})
    return None, [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks] + ["data: [DONE]\n\n"]


def _anthropic(body):
    last = body["messages"][-1]["content"]
    answered = isinstance(last, list) and any(block["type"] == "tool_result" for block in last)
    block = {"type": "text", "text": AFTER_TOOL}
    if (body.get("output_config") or {}).get("format"):
        block["text"] = json.dumps(PERSON)
    elif body.get("tools") and not answered:
        block = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": ARGUMENTS}
    stop = "tool_use" if block["type"] == "tool_use" else "end_turn"
    usage = {"input_tokens": 11, "output_tokens": 7}
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": "c2VhbA=="}
    # Thinking that led to a call must come back before it, with its seal.
    for message in body["messages"]:
        blocks = message["content"] if isinstance(message["content"], list) else []
        if any(block["type"] == "tool_use" for block in blocks) and blocks[0].get("signature") != "c2VhbA==":
            raise ValueError("the seal is missing")
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"]}
    if not body.get("stream"):
        return {**head, "content": [thinking, block], "stop_reason": stop, "usage": usage}, None
    if stop == "tool_use":
        empty = {**block, "input": {}}
        text = json.dumps(ARGUMENTS)
        deltas = [{"type": "input_json_delta", "partial_json": part} for part in (text[:5], text[5:])]
    else:
        empty = {**block, "text": ""}
        deltas = [{"type": "text_delta", "text": block["text"]}]
    events = [
        {"type": "message_start", "message": {**head, "content": [], "usage": {**usage, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm."}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2VhbA=="}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": empty},
        *({"type": "content_block_delta", "index": 1, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": usage},
        {"type": "message_stop"},
    ]
    return None, [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events]


def _responses(body):
    """OpenAI itself: nothing may be kept there, and what came before must be in the request."""
    if body["store"] is not False or "previous_response_id" in body:
        raise ValueError("something was to be kept at the provider")
    answered = any(item.get("type") == "function_call_output" for item in body["input"] if isinstance(item, dict))
    if body.get("text"):
        said = json.dumps(PERSON)
    else:
        said = AFTER_TOOL
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": said}]}
    if body.get("tools") and not answered:
        item = {"id": "fc_1", "type": "function_call", "status": "completed", "call_id": "call_1", "name": "get_weather",
                "arguments": json.dumps(ARGUMENTS)}
    whole = {"id": f"resp_{uuid.uuid4().hex}", "object": "response", "created_at": 1, "status": "completed", "model": body["model"],
             "output": [item], "store": False, "previous_response_id": None, "parallel_tool_calls": True, "tool_choice": "auto",
             "tools": body.get("tools", []), "metadata": {}, "error": None, "incomplete_details": None, "instructions": None,
             "usage": {"input_tokens": 11, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 7,
                       "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 18}}
    if not body.get("stream"):
        return whole, None
    events = [{"type": "response.created", "response": {**whole, "status": "in_progress", "output": [], "usage": None}}]
    where = {"output_index": 0, "item_id": item["id"]}
    if item["type"] == "function_call":
        events.append({"type": "response.output_item.added", "output_index": 0, "item": {**item, "arguments": "", "status": "in_progress"}})
        events.append({"type": "response.function_call_arguments.delta", **where, "delta": item["arguments"]})
        events.append({"type": "response.function_call_arguments.done", **where, "name": "get_weather", "arguments": item["arguments"]})
    else:
        part = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
        events.append({"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": [], "status": "in_progress"}})
        events.append({"type": "response.content_part.added", **where, "content_index": 0, "part": part})
        events.append({"type": "response.output_text.delta", **where, "content_index": 0, "delta": said, "logprobs": []})
    events.append({"type": "response.output_item.done", "output_index": 0, "item": item})
    events.append({"type": "response.completed", "response": whole})
    lines = ({**event, "sequence_number": number} for number, event in enumerate(events))
    return None, [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in lines]


KINDS = {"openai_compatible": _openai_chat, "anthropic": _anthropic, "openai": _responses}


class Double:
    """A provider of one kind on a free port; `model` is what clients ask for."""

    def __init__(self, superuser, kind):
        answer = KINDS[kind]

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                try:
                    whole, events = answer(body)
                    status = 200
                except (ValueError, KeyError) as error:
                    whole, events, status = {"error": {"message": str(error), "type": "invalid_request_error"}}, None, 400
                content = json.dumps(whole) if events is None else "".join(events)
                self.send_response(status)
                self.send_header("content-type", "application/json" if events is None else "text/event-stream")
                self.send_header("content-length", str(len(content.encode())))
                self.end_headers()
                self.wfile.write(content.encode())

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.model = f"double-{kind}-{self.server.server_port}"
        key = superuser.create(
            "provider_keys",
            {
                "name": self.model,
                "provider": kind,
                "base_url": f"http://127.0.0.1:{self.server.server_port}/v1",
                "secret": "double-secret-1234",
                "active": True,
            },
        )
        # A name that providers know: what may be asked of a model depends on it.
        names = {"openai": "gpt-5", "anthropic": "claude-sonnet-5", "openai_compatible": "llama"}
        superuser.create(
            "models",
            {
                "name": self.model,
                "deployments": [{"provider_key": key["id"], "model": names[kind]}],
                "prices": {"input": 0.10, "output": 0.40},
                "context_window": 4096,
                "max_output_tokens": 1024,
                "active": True,
            },
        )
        superuser.allow(self.model)

    def stop(self):
        self.server.shutdown()
