"""Google's generateContent and embeddings, as the Gemini API has them; Vertex AI's are made of the same."""

from itertools import count

from . import script
from .script import Asked, is_person, tell
from .server import Refusal, answer_json, server_sent
from .shape import ANY, Either, Misfit, Text, Unknown, Within, check, dotted

SECRET = "AIzaDoubleGemini1234"
MODEL = "gemini-3-flash-preview"
EMBEDDING_MODEL = "gemini-embedding-001"
# Bytes in base64 with both signs that ids of calls may not have.
SEAL = "Er+/BLcBARFN+Mg/Gnu1BQ=="
NO_SEAL = "skip_thought_signature_validator"
# Ids of calls that the double made.
ISSUED = set()
NAME = Text("[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")
TEXT_PARTS = {"parts": [{"text": str}], "role?": str}
# A budget and a level together are refused.
THINKING = Either(
    {"thinkingBudget": Within(-1, 32_768), "includeThoughts?": bool},
    {"thinkingLevel": {"MINIMAL", "LOW", "MEDIUM", "HIGH", "low"}, "includeThoughts?": bool},
)


def part(ids):
    """A part of a turn; `ids` says whether calls have ids."""
    identified = {"id?": str} if ids else {}
    call = {"name": NAME, "args?": dict, **identified}
    response = {"name": NAME, "response": dict, **identified}
    return Either(
        {"text": str, "thought?": bool, "thoughtSignature?": str},
        {"functionCall": call, "thoughtSignature?": str},
        {"functionResponse": response},
        {"inlineData": {"mimeType": str, "data": str}},
        {"fileData": {"mimeType": str, "fileUri": str}},
    )


def request_shape(ids, more):
    return {
        "contents": [{"role": {"user", "model"}, "parts": [part(ids)]}],
        "systemInstruction?": TEXT_PARTS,
        "tools?": [
            {
                "functionDeclarations": [
                    {"name": NAME, "description?": str, "parametersJsonSchema?": dict, "parameters?": dict}
                ]
            }
        ],
        "toolConfig?": {
            "functionCallingConfig": {"mode": {"AUTO", "ANY", "NONE", "VALIDATED"}, "allowedFunctionNames?": [str]}
        },
        "generationConfig?": {
            "maxOutputTokens?": Within(1, 65_536),
            "temperature?": Within(0, 2),
            "topP?": Within(0, 1),
            "topK?": Within(1, 1_000),
            "stopSequences?": [str],
            "seed?": int,
            "candidateCount?": Within(1, 8),
            "presencePenalty?": Within(-2, 2),
            "frequencyPenalty?": Within(-2, 2),
            "responseLogprobs?": bool,
            "logprobs?": Within(0, 20),
            "responseMimeType?": {"text/plain", "application/json"},
            "responseJsonSchema?": dict,
            "responseSchema?": dict,
            "responseModalities?": [str],
            "thinkingConfig?": THINKING,
        },
        "safetySettings?": ANY,
        "cachedContent?": str,
        **more,
    }


REQUEST = request_shape(ids=True, more={"serviceTier?": {"flex", "standard", "priority"}})
EMBEDDINGS = {
    "requests": [
        {
            "model": {f"models/{EMBEDDING_MODEL}"},
            "content": TEXT_PARTS,
            "taskType?": str,
            "title?": str,
            "outputDimensionality?": int,
        }
    ]
}
NUMBERS = count(1)


def error(code, message, status="INVALID_ARGUMENT", details=None):
    body = {"error": {"code": code, "message": message, "status": status}}
    if details:
        body["error"]["details"] = details
    return Refusal(code, body)


def refuse(message):
    raise error(400, message)


def checked(body, shape):
    try:
        check(body, shape)
        if "contents" in body:
            check_turns(body["contents"])
    except Misfit as misfit:
        if isinstance(misfit, Unknown):
            *where, name = misfit.path
            at = f" at '{dotted(where)}'" if where else ""
            raise error(
                400, f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.'
            ) from misfit
        raise error(400, f"Invalid value at '{dotted(misfit.path)}': {misfit.why}, got {misfit.value!r}") from misfit
    return body


def check_turns(contents):
    """As many results as calls, in the turn after them and in their order."""
    if not contents or contents[0]["role"] != "user":
        raise Misfit(("contents",), "a function call turn must come after a user turn or a function response turn")
    called = []
    for index, content in enumerate(contents):
        if not content["parts"]:
            raise Misfit(("contents", index, "parts"), "must include at least one parts field")
        answered = [part["functionResponse"]["name"] for part in content["parts"] if "functionResponse" in part]
        if answered != called:
            raise Misfit(
                ("contents", index), f"the function responses {answered} do not match the function calls {called}"
            )
        called = [part["functionCall"]["name"] for part in content["parts"] if "functionCall" in part]


def check_seals(contents):
    """Gemini 3 and later: the first call of a turn carries the seal that it came with.

    For history that the provider did not make it takes a known dummy; a seal that was lost is no such thing.
    """
    for index, content in enumerate(contents):
        calls = [part for part in content["parts"] if "functionCall" in part]
        if not calls:
            continue
        expected = SEAL if calls[0]["functionCall"].get("id") in ISSUED else NO_SEAL
        if calls[0].get("thoughtSignature") != expected:
            refuse(f"Function call is missing a thought_signature in functionCall parts (contents[{index}]).")


def asked(body):
    results = []
    for each in body["contents"][-1]["parts"]:
        if "functionResponse" in each:
            results.append(str(each["functionResponse"]["response"]))
    config = body.get("generationConfig", {})
    schema = config.get("responseJsonSchema")
    if schema and config.get("responseMimeType") != "application/json":
        refuse("response_mime_type must be application/json where a schema is given")
    mode = body.get("toolConfig", {}).get("functionCallingConfig", {}).get("mode")
    functions = [each for tool in body.get("tools", []) for each in tool["functionDeclarations"]]
    tools = {} if mode == "NONE" else {each["name"]: each.get("parametersJsonSchema") for each in functions}
    thinks = config.get("thinkingConfig", {}).get("includeThoughts", False)
    return Asked(tools=tools, results=results, wants_person=is_person(schema), thinks=thinks)


def usage(output=script.OUTPUT_TOKENS):
    prompt, thoughts = script.PROMPT_TOKENS, script.THINKING_TOKENS
    return {
        "promptTokenCount": prompt,
        "candidatesTokenCount": output,
        "totalTokenCount": prompt + output + thoughts,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
        "thoughtsTokenCount": thoughts,
    }


def parts_of(told, thinks, call_id):
    """The answer's parts, one for each chunk of a stream."""
    parts = [{"text": "Hm.", "thought": True}] if thinks else []
    if told.call:
        call = {"name": told.call, "args": told.arguments, **call_id}
        return [*parts, {"functionCall": call, "thoughtSignature": SEAL}]
    return [*parts, *({"text": word} for word in told.words)]


def joined(parts):
    """The parts of an answer that comes whole: its text is one part."""
    words = [each["text"] for each in parts if "text" in each and not each.get("thought")]
    rest = [each for each in parts if "text" not in each or each.get("thought")]
    return [*rest, {"text": "".join(words)}] if words else rest


def answer(request):
    if request.headers.get("x-goog-api-key") != SECRET:
        details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
        raise error(400, "API key not valid. Please pass a valid API key.", details=details)
    body = request.json()
    match request.path, request.query:
        case ("/v1beta/models/gemini-3-flash-preview:generateContent", {}) if not request.query:
            return answer_json(generate(body)[0])
        case ("/v1beta/models/gemini-3-flash-preview:streamGenerateContent", {"alt": "sse"}):
            return server_sent(generate(body)[1], line="\r\n")
        case ("/v1beta/models/gemini-embedding-001:batchEmbedContents", {}):
            return embed(body)
    name = request.path.removeprefix("/v1beta/")
    raise error(404, f"{name} is not found for API version v1beta, or is not supported.", "NOT_FOUND")


def generate(body):
    """The answer whole, and as a stream's chunks; each chunk counts all that came so far."""
    checked(body, REQUEST)
    check_seals(body["contents"])
    wish = asked(body)
    told = tell(wish, refuse)
    call_id = f"call_{next(NUMBERS)}"
    ISSUED.add(call_id)
    parts = parts_of(told, wish.thinks, {"id": call_id})
    tail = {"modelVersion": MODEL, "responseId": f"double-{next(NUMBERS)}"}
    finish = {"finishReason": "STOP", "index": 0}

    def candidate(parts, end):
        return {"content": {"parts": parts, "role": "model"}, **end}

    tier = {"serviceTier": "standard"}
    whole = {"candidates": [candidate(joined(parts), finish)], "usageMetadata": {**usage(), **tier}, **tail}
    chunks = []
    for place, each in enumerate(parts, 1):
        last = place == len(parts)
        counted = usage() if last else usage(output=min(place, script.OUTPUT_TOKENS))
        end = finish if last else {"index": 0}
        chunks.append({"candidates": [candidate([each], end)], "usageMetadata": {**counted, **tier}, **tail})
    return whole, chunks


def embed(body):
    checked(body, EMBEDDINGS)
    vectors = [
        script.vector_of(each["content"]["parts"][0]["text"], each.get("outputDimensionality", 8))
        for each in body["requests"]
    ]
    return answer_json(
        {
            "embeddings": [{"values": vector} for vector in vectors],
            "usageMetadata": {"promptTokenCount": script.PROMPT_TOKENS},
        }
    )
