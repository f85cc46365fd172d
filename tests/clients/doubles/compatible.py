"""A server with OpenAI's API that is nobody's in particular: it ignores what it does not know."""

from . import chat_completions, openai
from .script import tell
from .server import answer_json, server_sent
from .shape import Misfit

SECRET = "double-compatible-1234"


def chat(body, model):
    if "max_tokens" not in body and "max_completion_tokens" in body:
        # Older servers know `max_tokens` alone: without it nothing would bound the answer.
        raise openai.error(400, "max_completion_tokens is not known here")
    try:
        chat_completions.check_calls(body["messages"])
    except Misfit as misfit:
        raise openai.as_refusal(misfit) from misfit
    asked = chat_completions.asked(body)
    told = tell(asked, openai.refuse)
    used = chat_completions.usage(asked.thinks)
    call_id = f"chatcmpl-tool-{next(openai.NUMBERS)}"
    head = {"id": f"chatcmpl-{next(openai.NUMBERS)}", "created": 1787150000, "model": model}
    if body.get("stream"):
        include_usage = (body.get("stream_options") or {}).get("include_usage", False)
        return server_sent([*chat_completions.chunks(told, head, used, call_id, include_usage), "[DONE]"])
    return answer_json(chat_completions.whole(told, head, used, call_id))


def answer(request):
    if request.headers.get("authorization") != f"Bearer {SECRET}":
        raise openai.error(401, "Unauthorized")
    body = request.json()
    match request.path:
        case "/v1/chat/completions":
            return chat(body, body["model"])
        case "/v1/embeddings":
            body.pop("encoding_format", None)
            return answer_json(openai.embeddings(body, body["model"], as_base64=False))
    raise openai.error(404, "Not Found")
