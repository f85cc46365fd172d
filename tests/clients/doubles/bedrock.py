"""AWS Bedrock: Converse, ConverseStream and InvokeModel, signed or with a bearer key."""

import base64
import json
from itertools import count
from urllib.parse import unquote

from . import anthropic, script
from .event_stream import frame
from .script import Asked, is_person, tell
from .server import Refusal, Reply, answer_json
from .shape import ANY, Misfit, OneOf, Text, Within, check, dotted
from .sigv4 import verify

REGION = "eu-central-1"
ACCESS_KEY = "ASIADOUBLEDOUBLE1234"
SECRET_KEY = "double/aws+secret1234"
SESSION_TOKEN = "double//session+token=="
BEARER = "bedrock-api-key-double1234"
CLAUDE = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "eu.amazon.nova-2-lite-v1:0"
TITAN = "amazon.titan-embed-text-v2:0"
COHERE = "cohere.embed-multilingual-v3"
NAME = Text("[a-zA-Z0-9_-]{1,64}")
CALL_ID = Text("[a-zA-Z0-9_.:-]{1,64}")
CACHE_POINT = {"type": {"default"}, "ttl?": {"5m", "1h"}}
SOURCE = OneOf({"bytes": str, "s3Location": ANY, "text": str})
IMAGE = {"format": {"png", "jpeg", "gif", "webp"}, "source": SOURCE}
DOCUMENT = {
    "format": {"pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"},
    # AWS's page has no underscore here, a recorded request has.
    "name": Text(r"[a-zA-Z0-9_\-()\[\]]+( [a-zA-Z0-9_\-()\[\]]+)*"),
    "source": SOURCE,
    "context?": str,
    "citations?": {"enabled": bool},
}
RESULT = {
    "toolUseId": CALL_ID,
    "content": [OneOf({"text": str, "json": dict, "image": IMAGE, "document": DOCUMENT})],
    "status?": {"success", "error"},
}
BLOCK = OneOf(
    {
        "text": Text(r"(?s).*\S.*"),
        "image": IMAGE,
        "document": DOCUMENT,
        "toolUse": {"toolUseId": CALL_ID, "name": NAME, "input": dict, "type?": str},
        "toolResult": RESULT,
        "cachePoint": CACHE_POINT,
        "guardContent": dict,
        "reasoningContent": OneOf({"reasoningText": {"text": str, "signature?": str}, "redactedContent": str}),
    }
)
SPEC = {"name": NAME, "inputSchema": OneOf({"json": dict}), "description?": Text("(?s).+"), "strict?": bool}
# The fields of AWS's own description of the service (botocore 1.44). What it does not have is refused here; we assume
# that the service may also ignore it.
CONVERSE = {
    "messages": [{"role": {"user", "assistant"}, "content": [BLOCK]}],
    "system?": [OneOf({"text": Text("(?s).+"), "cachePoint": CACHE_POINT})],
    "inferenceConfig?": {
        "maxTokens?": Within(1, 1_000_000),
        "temperature?": Within(0, 1),
        "topP?": Within(0, 1),
        "stopSequences?": [Text("(?s).+")],
    },
    "toolConfig?": {
        "tools": [OneOf({"toolSpec": SPEC, "cachePoint": CACHE_POINT})],
        "toolChoice?": OneOf({"auto": {}, "any": {}, "tool": {"name": NAME}}),
    },
    "outputConfig?": {
        "textFormat?": {
            "type": {"json_schema"},
            "structure": OneOf({"jsonSchema": {"schema": str, "name?": str, "description?": str}}),
        },
        "effort?": str,
    },
    "additionalModelRequestFields?": dict,
    "guardrailConfig?": dict,
    "requestMetadata?": dict,
    "serviceTier?": {"type": {"priority", "default", "flex", "reserved"}},
    "performanceConfig?": {"latency": {"standard", "optimized"}},
}
INVOKE_CLAUDE = {"anthropic_version": {"bedrock-2023-05-31"}, "anthropic_beta?": [str], **anthropic.REQUEST}
# The model's name is in the path, and whether it streams is in the verb.
del INVOKE_CLAUDE["stream?"]
INVOKE_TITAN = {"inputText": str, "dimensions?": {256, 512, 1024}, "normalize?": bool, "embeddingTypes?": list}
INVOKE_COHERE = {
    "texts": [str],
    "input_type": {"search_document", "search_query", "classification", "clustering"},
    "embedding_types?": [{"float", "int8", "uint8", "binary", "ubinary"}],
    "truncate?": str,
}
NUMBERS = count(1)


def error(status, kind, message):
    return Refusal(
        status,
        {"message": message},
        {"x-amzn-errortype": f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/"},
    )


def refuse(message):
    raise error(400, "ValidationException", message)


def checked(body, shape):
    try:
        check(body, shape)
    except Misfit as misfit:
        raise error(
            400, "ValidationException", f"{dotted(misfit.path)}: {misfit.why}, got {misfit.value!r}"
        ) from misfit
    return body


def check_turns(body):
    """Turns alternate, calls are answered in the next one, and tools are declared where any was called."""
    messages = body["messages"]
    if not messages or messages[0]["role"] != "user":
        refuse("A conversation must start with a user message.")
    called, used = [], False
    for index, message in enumerate(messages):
        if index and message["role"] == messages[index - 1]["role"]:
            refuse("A conversation must alternate between user and assistant roles.")
        answered = [block["toolResult"]["toolUseId"] for block in message["content"] if "toolResult" in block]
        if sorted(answered) != sorted(called):
            refuse(f"Expected toolResult blocks at messages.{index}.content for the ids {called}, found {answered}.")
        called = [block["toolUse"]["toolUseId"] for block in message["content"] if "toolUse" in block]
        used = used or bool(called)
    if used and "toolConfig" not in body:
        refuse("The toolConfig field must be defined when using toolUse and toolResult content blocks.")


def asked(body):
    results = []
    for block in body["messages"][-1]["content"]:
        if "toolResult" in block:
            results.append(" ".join(str(part.get("text", part.get("json"))) for part in block["toolResult"]["content"]))
    schema = body.get("outputConfig", {}).get("textFormat", {}).get("structure", {}).get("jsonSchema", {}).get("schema")
    specs = [tool["toolSpec"] for tool in body.get("toolConfig", {}).get("tools", []) if "toolSpec" in tool]
    tools = {spec["name"]: spec["inputSchema"]["json"] for spec in specs}
    return Asked(tools=tools, results=results, wants_person=is_person(json.loads(schema or "{}")))


def usage():
    prompt, output = script.PROMPT_TOKENS, script.OUTPUT_TOKENS
    return {"inputTokens": prompt, "outputTokens": output, "totalTokens": prompt + output}


def converse(body, streamed):
    checked(body, CONVERSE)
    check_turns(body)
    told = tell(asked(body), refuse)
    call = {"toolUseId": f"tooluse_double{next(NUMBERS)}", "name": told.call}
    if streamed:
        frames = [frame(kind, {**payload, "p": "abcdefgh"}) for kind, payload in events(told, call)]
        return Reply(b"", content_type="application/vnd.amazon.eventstream", pieces=frames)
    content = [{"toolUse": {**call, "input": told.arguments}}] if told.call else [{"text": told.text}]
    return answer_json(
        {
            "metrics": {"latencyMs": 5},
            "output": {"message": {"content": content, "role": "assistant"}},
            "stopReason": "tool_use" if told.call else "end_turn",
            "usage": usage(),
        }
    )


def events(told, call):
    """Blocks of text have no beginning of their own, and the usage comes after the end."""
    yield "messageStart", {"role": "assistant"}
    if told.call:
        yield "contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": call}}
        text = json.dumps(told.arguments)
        deltas = [{"toolUse": {"input": part}} for part in ("", text[:5], text[5:])]
    else:
        deltas = [{"text": word} for word in told.words]
    for delta in deltas:
        yield "contentBlockDelta", {"contentBlockIndex": 0, "delta": delta}
    yield "contentBlockStop", {"contentBlockIndex": 0}
    yield "messageStop", {"stopReason": "tool_use" if told.call else "end_turn"}
    yield "metadata", {"metrics": {"latencyMs": 5}, "usage": usage()}


def invoke_claude(body, streamed):
    anthropic.checked(body, INVOKE_CLAUDE)
    message = anthropic.reply(body, "claude-sonnet-4-5-20250929")
    if not streamed:
        return answer_json(message)
    frames = []
    for event in anthropic.events(message):
        if event["type"] == "message_stop":
            event["amazon-bedrock-invocationMetrics"] = {"inputTokenCount": script.PROMPT_TOKENS, "outputTokenCount": 1}
        native = base64.b64encode(json.dumps(event).encode()).decode()
        frames.append(frame("chunk", {"bytes": native, "p": "abcdefgh"}))
    return Reply(b"", content_type="application/vnd.amazon.eventstream", pieces=frames)


def invoke_embeddings(model, body):
    counted = {"x-amzn-bedrock-input-token-count": str(script.PROMPT_TOKENS)}
    if model == TITAN:
        checked(body, INVOKE_TITAN)
        vector = script.vector_of(body["inputText"], body.get("dimensions", 1024))
        answer = {
            "embedding": vector,
            "embeddingsByType": {"float": vector},
            "inputTextTokenCount": script.PROMPT_TOKENS,
        }
        return answer_json(answer, **counted)
    checked(body, INVOKE_COHERE)
    vectors = [script.vector_of(text, 8) for text in body["texts"]]
    by_type = {"float": vectors} if body.get("embedding_types") else vectors
    kind = "embeddings_by_type" if body.get("embedding_types") else "embeddings_floats"
    answer = {"id": f"double-{next(NUMBERS)}", "texts": body["texts"], "embeddings": by_type, "response_type": kind}
    return answer_json(answer, **counted)


def authorize(request):
    if request.headers.get("authorization", "").startswith("Bearer "):
        if request.headers["authorization"] != f"Bearer {BEARER}":
            raise error(403, "AccessDeniedException", "Authentication failed: Please make sure your API Key is valid.")
        return
    wrong = verify(request, ACCESS_KEY, SECRET_KEY, SESSION_TOKEN, REGION)
    if wrong:
        raise error(403, "InvalidSignatureException", f"The request signature we calculated does not match: {wrong}")


def answer(request):
    authorize(request)
    match request.path.split("/"):
        case ["", "model", encoded, verb]:
            return model_answer(unquote(encoded), verb, request.json())
    raise error(404, "UnknownOperationException", "No such path")


def model_answer(model, verb, body):
    match model, verb:
        case (_, "converse" | "converse-stream") if model in (CLAUDE, NOVA):
            return converse(body, streamed=verb == "converse-stream")
        case (_, "invoke" | "invoke-with-response-stream") if model == CLAUDE:
            return invoke_claude(body, streamed=verb == "invoke-with-response-stream")
        case (_, "invoke") if model in (TITAN, COHERE):
            return invoke_embeddings(model, body)
    raise error(400, "ValidationException", "The provided model identifier is invalid.")
