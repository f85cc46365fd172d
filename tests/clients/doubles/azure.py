"""Azure OpenAI: the v1 form and the dated one, keys and tokens of Entra ID, and Claude on AI Foundry."""

import secrets
from urllib.parse import parse_qs

from . import anthropic, openai, responses
from .server import Refusal, answer_json, server_sent

SECRET = "double-azure-key-1234"
TENANT = "11111111-2222-3333-4444-555555555555"
PROGRAM = {
    "tenant_id": TENANT,
    "client_id": "66666666-7777-8888-9999-000000000000",
    "client_secret": "double~entra~secret",
}
SCOPE = "https://cognitiveservices.azure.com/.default"
VERSION = "2024-10-21"
# Deployments are named by whoever made them; the answer names the model behind.
DEPLOYMENTS = {
    "our-reasoning": "gpt-5-2025-08-07",
    "our-chat": "gpt-4o-mini-2024-07-18",
    "our-vectors": "text-embedding-3-small",
}
CLAUDE = "claude-sonnet-4-5"
SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
TOKENS = set()


def unauthorized():
    message = "Access denied due to invalid subscription key or wrong API endpoint."
    return Refusal(401, {"error": {"code": "401", "message": message}})


def authorize(request):
    """By key or by token, not by both."""
    key, token = request.headers.get("api-key"), request.headers.get("authorization", "")
    if key == SECRET and not token:
        return
    if key is None and token.removeprefix("Bearer ") in TOKENS:
        return
    raise unauthorized()


def token(request):
    """Entra ID's token endpoint, for programs."""
    form = {name: value for name, [value] in parse_qs(request.body.decode()).items()}
    if request.headers.get("content-type") != "application/x-www-form-urlencoded":
        raise Refusal(400, {"error": "invalid_request", "error_description": "AADSTS900144: a form is expected."})
    expected = {
        "grant_type": "client_credentials",
        "client_id": PROGRAM["client_id"],
        "client_secret": PROGRAM["client_secret"],
        "scope": SCOPE,
    }
    if form != expected:
        raise Refusal(
            401, {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."}
        )
    fresh = secrets.token_urlsafe(24)
    TOKENS.add(fresh)
    return answer_json({"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": fresh})


def deployment_of(name):
    if name not in DEPLOYMENTS:
        message = "The API deployment for this resource does not exist."
        raise Refusal(
            404, {"error": {"type": "invalid_request_error", "code": "DeploymentNotFound", "message": message}}
        )
    return DEPLOYMENTS[name]


def filtered(whole):
    """What the content filter says, in every choice."""
    for choice in whole["choices"]:
        choice["content_filter_results"] = SAFE
    return {**whole, "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": SAFE}]}


def filtered_chunks(chunks):
    """The first chunk has no choices and names nothing; the filter's results stand in all others."""
    prompt = [{"prompt_index": 0, "content_filter_results": SAFE}]
    yield {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": prompt}
    for chunk in chunks:
        yield {**chunk, "choices": [{**choice, "content_filter_results": {}} for choice in chunk["choices"]]}
    yield "[DONE]"


def chat(body, model):
    whole, chunks = openai.chat(body, model)
    return answer_json(filtered(whole)) if chunks is None else server_sent(filtered_chunks(chunks))


def embeddings(body, model):
    return answer_json(openai.embeddings(body, model))


def answer(request):
    if request.path == f"/{TENANT}/oauth2/v2.0/token":
        return token(request)
    if request.path == "/anthropic/v1/messages":
        if request.headers.get("x-api-key") != SECRET:
            raise unauthorized()
        return anthropic.messages(request, request.json(), {CLAUDE})
    authorize(request)
    body = request.json()
    match request.path.strip("/").split("/"):
        case ["openai", "v1", *what]:
            if request.query:
                raise openai.error(400, "api-version query parameter is not allowed when using /v1 path")
            return v1(what, body)
        case ["openai", "deployments", deployment, *what]:
            if request.query != {"api-version": VERSION}:
                raise Refusal(404, {"error": {"code": "404", "message": "Resource not found"}})
            model = deployment_of(deployment)
            if what == ["chat", "completions"]:
                return chat(body, model)
            if what == ["embeddings"]:
                return embeddings(body, model)
    raise Refusal(404, {"error": {"code": "404", "message": "Resource not found"}})


def v1(what, body):
    model = deployment_of(body.get("model"))
    match what:
        case ["chat", "completions"]:
            return chat(body, model)
        case ["responses"]:
            whole, events = responses.respond(body, model, openai.as_refusal, openai.refuse)
            return answer_json(whole) if events is None else server_sent(events)
        case ["embeddings"]:
            return embeddings(body, model)
    raise Refusal(404, {"error": {"code": "404", "message": "Resource not found"}})
