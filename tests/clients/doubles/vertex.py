"""Vertex AI: tokens for a service account, Gemini, Claude, and embeddings."""

from . import anthropic, gemini, script
from .google_token import ServiceAccount
from .script import tell
from .server import Refusal, answer_json, server_sent

PROJECT = "double-project"
REGION = "europe-west1"
GEMINI = "gemini-2.5-flash"
CLAUDE = "claude-sonnet-4-5@20250929"
EMBEDDING_MODEL = "text-embedding-005"
MODELS = f"/v1/projects/{PROJECT}/locations/{REGION}/publishers"
# Here calls have no ids, and `labels` is known.
REQUEST = gemini.request_shape(ids=False, more={"labels?": dict, "modelArmorConfig?": dict})
CLAUDE_REQUEST = {"anthropic_version": {"vertex-2023-10-16"}, **anthropic.REQUEST}
EMBEDDINGS = {
    "instances": [{"content": str, "task_type?": str, "title?": str}],
    "parameters?": {"outputDimensionality?": int, "autoTruncate?": bool},
}


class Vertex:
    def __init__(self):
        self.account = ServiceAccount(PROJECT)

    def answer(self, request):
        if request.path == "/token":
            return self.account.token(request)
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.account.tokens:
            message = "Request had invalid authentication credentials."
            raise gemini.error(401, message, "UNAUTHENTICATED")
        model, _, verb = request.path.removeprefix(f"{MODELS}/").partition(":")
        body = request.json()
        match model, verb, request.query:
            case ("google/models/gemini-2.5-flash", "generateContent", _):
                return answer_json(generate(body)[0])
            case ("google/models/gemini-2.5-flash", "streamGenerateContent", {"alt": "sse"}):
                return server_sent(generate(body)[1], line="\r\n")
            case ("google/models/text-embedding-005", "predict", _):
                return predict(body)
            case ("anthropic/models/claude-sonnet-4-5@20250929", "rawPredict" | "streamRawPredict", _):
                return raw_predict(request, body, streamed=verb == "streamRawPredict")
        raise Refusal(
            404,
            {"error": {"code": 404, "message": f"Publisher Model `{request.path}` not found.", "status": "NOT_FOUND"}},
        )


def generate(body):
    """Counts stand in the last chunk alone; the others have usage without them."""
    gemini.checked(body, REQUEST)
    wish = gemini.asked(body)
    told = tell(wish, gemini.refuse)
    parts = gemini.parts_of(told, wish.thinks, {})
    tail = {
        "modelVersion": GEMINI,
        "createTime": "2026-08-19T14:59:48.868395Z",
        "responseId": f"double-{next(gemini.NUMBERS)}",
    }
    traffic = {"trafficType": "ON_DEMAND"}
    counted = {**gemini.usage(), **traffic}

    def answer(parts, used, end):
        return {"candidates": [{"content": {"role": "model", "parts": parts}, **end}], "usageMetadata": used, **tail}

    finish = {"finishReason": "STOP"}
    chunks = [answer([each], traffic, {}) for each in parts[:-1]]
    chunks.append(answer([parts[-1]], counted, finish))
    return answer(gemini.joined(parts), counted, finish), chunks


def predict(body):
    gemini.checked(body, EMBEDDINGS)
    dimensions = body.get("parameters", {}).get("outputDimensionality", 8)
    statistics = {"token_count": script.PROMPT_TOKENS, "truncated": False}
    vectors = [script.vector_of(each["content"], dimensions) for each in body["instances"]]
    return answer_json(
        {"predictions": [{"embeddings": {"values": vector, "statistics": statistics}} for vector in vectors]}
    )


def raw_predict(request, body, streamed):
    if "anthropic-version" in request.headers:
        raise anthropic.error(400, "anthropic-version: the version stands in the body here")
    anthropic.checked(body, CLAUDE_REQUEST)
    if body.get("stream", False) != streamed:
        raise anthropic.error(400, "stream: does not fit the method that was called")
    message = anthropic.reply(body, CLAUDE.replace("@", "-"))
    return (
        server_sent((event["type"], event) for event in anthropic.events(message)) if streamed else answer_json(message)
    )
