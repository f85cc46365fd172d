"""CloudFreedom's budgets in a LiteLLM proxy.

Before a call the budget is asked and what the call may cost at most is reserved; after it the tokens are
reported, and the reservation gives back what was not used. Put this file beside LiteLLM's `config.yaml`:

    litellm_settings:
      callbacks: cloudfreedom.callback
    general_settings:
      custom_auth: cloudfreedom.authenticate   # clients then use CloudFreedom's own API keys

Settings are environment variables; see the README. The file keeps its state in the proxy's process: what is
reserved for a call and what is still to be reported.
"""

import asyncio
import hashlib
import hmac
import json
import logging
import os
import sys
import time
import types
import uuid
from collections import OrderedDict

import httpx
import litellm
from fastapi import HTTPException, Request
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy._types import LitellmUserRoles, UserAPIKeyAuth

log = logging.getLogger("cloudfreedom")

# Where a call's own id stands in LiteLLM's metadata. Not LiteLLM's call id: that one a client may choose,
# and two calls under one id would be booked once.
MARK = "cloudfreedom_call"
# An image or file may stand for more tokens than its address has bytes.
TOKENS_PER_FILE = 6000
# Around each message and the whole prompt.
TOKENS_PER_REQUEST = 64
# Calls and keys kept in memory at most; reports waiting at most.
MAX_CALLS = 100_000
MAX_KEYS = 10_000
MAX_REPORTS = 10_000
# A call that nothing has been heard of for so long has ended unseen.
FORGET_SECONDS = 6 * 3600


def setting(name, default):
    return os.environ.get(f"CLOUDFREEDOM_{name}", default)


def switch(name, default):
    return setting(name, default).strip().lower() in ("1", "true", "yes", "on")


class Settings:
    def __init__(self):
        self.url = setting("BILLING_URL", "http://127.0.0.1:8080").rstrip("/")
        self.key = setting("BILLING_API_KEY", "")
        # Whether calls are refused while budgets cannot be asked.
        self.fail_closed = switch("FAIL_CLOSED", "true")
        # How long a call waits for its budget check at most, a second try included.
        self.timeout = float(setting("TIMEOUT_SECONDS", "3"))
        # How long a report is tried again.
        self.retry_seconds = float(setting("RETRY_SECONDS", "3600"))
        # How long a known key need not be asked again; each call's budget check asks anyway.
        self.key_seconds = float(setting("KEY_SECONDS", "60"))
        # Put into requests that name no output limit; 0 leaves them as they are.
        self.output_limit = int(setting("OUTPUT_LIMIT", "0"))
        # Whether LiteLLM's cost in US dollars is booked instead of CloudFreedom's prices.
        self.litellm_cost = switch("USE_LITELLM_COST", "false")


class Unreachable(Exception):
    """The Billing API did not answer, or said that it cannot."""


class Billing:
    """The Billing API, asked with little patience."""

    def __init__(self, settings):
        self.settings = settings
        self.client = None

    async def send(self, method, path, body=None, headers=None, timeout=None):
        if self.client is None:
            self.client = httpx.AsyncClient(base_url=self.settings.url)
        try:
            answer = await self.client.request(
                method,
                path,
                json=body,
                headers={"X-API-Key": self.settings.key, **(headers or {})},
                timeout=timeout or self.settings.timeout,
            )
        except httpx.HTTPError as error:
            raise Unreachable(f"{type(error).__name__} at {self.settings.url}") from error
        if answer.status_code >= 500:
            raise Unreachable(f"status {answer.status_code}")
        try:
            return answer, answer.json() if answer.content else {}
        except ValueError as error:
            raise Unreachable(f"no JSON with status {answer.status_code}") from error

    async def check(self, body, key=None):
        """A budget check within the time that a call may wait: a second try under the same key is safe."""
        headers = {"Idempotency-Key": key} if key else {}

        async def tries():
            try:
                return await self.send("POST", "/api/check-budget", body, headers, self.settings.timeout * 0.6)
            except Unreachable:
                await asyncio.sleep(0.1)
                return await self.send("POST", "/api/check-budget", body, headers)

        try:
            answer, content = await asyncio.wait_for(tries(), self.settings.timeout)
        except asyncio.TimeoutError as error:
            raise Unreachable("no answer in time") from error
        if answer.status_code == 401:
            log.error("CLOUDFREEDOM_BILLING_API_KEY is not accepted at %s", self.settings.url)
            raise Unreachable("the billing key is not accepted")
        return answer, content


class Call:
    """What is known of a running call."""

    def __init__(self, who, data):
        self.id = f"litellm-{uuid.uuid4()}"
        self.who = who
        self.model = data.get("model", "")
        self.prompt = data.get("messages") or data.get("input") or data.get("prompt") or ""
        self.reservation = None
        self.text = []
        self.usage = None
        self.settled = False
        self.began = time.monotonic()


settings = Settings()
billing = Billing(settings)
# LiteLLM loads this file once for the callback and once for `custom_auth`: what both need lies outside.
shared = sys.modules.setdefault("_cloudfreedom_shared", types.ModuleType("_cloudfreedom_shared"))
# Keys by the name LiteLLM gives them (a hash), so that a key's own budget is asked too.
keys = shared.__dict__.setdefault("keys", OrderedDict())
# Answers to "whose key is this": hash -> (until, user id).
known = OrderedDict()


def remember(cache, name, value, limit):
    cache[name] = value
    cache.move_to_end(name)
    while len(cache) > limit:
        cache.popitem(last=False)


async def authenticate(request: Request, api_key: str) -> UserAPIKeyAuth:
    """LiteLLM's `custom_auth`: whoever has an API key of CloudFreedom may call; the budget is asked later."""
    key = api_key.removeprefix("Bearer ").strip()
    master = os.environ.get("LITELLM_MASTER_KEY", "")
    if master and hmac.compare_digest(key.encode(), master.encode()):
        return UserAPIKeyAuth(api_key=key, user_role=LitellmUserRoles.PROXY_ADMIN)
    if not key:
        raise HTTPException(401, "Send an API key of CloudFreedom as \"Authorization: Bearer YOUR_KEY\".")
    name = hashlib.sha256(key.encode()).hexdigest()
    until, user_id = known.get(name, (0, None))
    if until < time.monotonic():
        try:
            answer, content = await billing.check({"api_key": key, "count": False})
        except Unreachable as error:
            # Also with fail open: a key that was never right must not begin to work now.
            if settings.fail_closed or user_id is None:
                raise HTTPException(503, f"API keys cannot be checked now ({error}). Try again later.") from error
        else:
            if answer.status_code == 429:
                raise limited(answer, content)
            if answer.status_code not in (200, 403):
                raise HTTPException(401, "Incorrect API key provided.")
            if content.get("code") not in (None, "budget_exceeded"):
                raise HTTPException(403, content.get("error") or "This user may not call.")
            user_id = content.get("user_id") or ""
            remember(known, name, (time.monotonic() + settings.key_seconds, user_id), MAX_KEYS)
    # By its hash, which is what LiteLLM makes of it on the way to the hooks.
    remember(keys, name, key, MAX_KEYS)
    return UserAPIKeyAuth(api_key=key, user_id=user_id or None, user_role=LitellmUserRoles.INTERNAL_USER)


def limited(answer, content):
    wait = answer.headers.get("retry-after", "1")
    return HTTPException(429, content.get("error") or "Rate limit reached.", headers={"retry-after": wait})


def who_calls(caller):
    """Only what LiteLLM itself found out: the request's `user` field is the client's word."""
    name = caller.api_key or ""
    if name not in keys:
        name = hashlib.sha256(name.encode()).hexdigest()
    if name in keys:
        return {"api_key": keys[name]}
    if caller.user_id:
        return {"email" if "@" in caller.user_id else "user_id": caller.user_id}
    if caller.user_email:
        return {"email": caller.user_email}
    return None


def most_prompt_tokens(data):
    """No less than any tokenizer makes of it: a token has a byte at least."""
    files = 0

    def walk(value):
        nonlocal files
        if isinstance(value, dict):
            kind = str(value.get("type", ""))
            if "image" in kind or "file" in kind or "audio" in kind or "document" in kind:
                files += 1
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    parts = [data.get(name) for name in ("messages", "input", "prompt", "system", "instructions", "tools", "functions", "response_format", "text")]
    parts = [part for part in parts if part]
    for part in parts:
        walk(part)
    size = sum(len(json.dumps(part, ensure_ascii=False, default=str).encode()) for part in parts)
    return size + files * TOKENS_PER_FILE + TOKENS_PER_REQUEST


LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


def most_output_tokens(data):
    if not ({"messages", "input", "prompt"} & data.keys()):
        return None
    limits = [data[name] for name in LIMITS if isinstance(data.get(name), int)]
    if not limits:
        return None
    count = data.get("n") if isinstance(data.get("n"), int) else 1
    return max(limits) * max(count, 1)


def text_of(chunk):
    """What a piece of a stream delivers, in any of the three formats."""
    if isinstance(chunk, (bytes, str)):
        raw = chunk.decode(errors="replace") if isinstance(chunk, bytes) else chunk
        texts = []
        for line in raw.splitlines():
            if line.startswith("data:"):
                try:
                    delta = json.loads(line[5:]).get("delta") or {}
                except (ValueError, AttributeError):
                    continue
                if isinstance(delta, str):
                    texts.append(delta)
                elif isinstance(delta, dict):
                    texts.extend(str(delta[name]) for name in ("text", "thinking", "partial_json") if delta.get(name))
        return "".join(texts)
    delta = getattr(chunk, "delta", None)
    if isinstance(delta, str):
        return delta
    texts = []
    for choice in getattr(chunk, "choices", None) or []:
        delta = getattr(choice, "delta", None)
        for name in ("content", "reasoning_content"):
            texts.append(getattr(delta, name, None) or "")
        for tool in getattr(delta, "tool_calls", None) or []:
            texts.append(getattr(getattr(tool, "function", None), "arguments", None) or "")
        texts.append(getattr(choice, "text", None) or "")
    return "".join(texts)


def get(value, *names):
    """The first of these that is there, of an object or a dict."""
    for name in names:
        found = value.get(name) if isinstance(value, dict) else getattr(value, name, None)
        if found is not None:
            return found
    return None


def counts(usage):
    """Prompt, completion, cached and cache-written tokens; the last two are part of the prompt."""
    if usage is None:
        return None
    prompt = get(usage, "prompt_tokens", "input_tokens")
    completion = get(usage, "completion_tokens", "output_tokens")
    if prompt is None and completion is None:
        return None
    details = get(usage, "prompt_tokens_details", "input_tokens_details")
    cached = get(details, "cached_tokens") if details is not None else None
    if cached is None:
        cached = get(usage, "cache_read_input_tokens")
    prompt, cached, written = int(prompt or 0), int(cached or 0), int(get(usage, "cache_creation_input_tokens") or 0)
    if get(usage, "prompt_tokens") is None and details is None:
        # Anthropic's own shape counts them beside the rest.
        prompt += cached + written
    return prompt, int(completion or 0), cached, written


class CloudFreedom(CustomLogger):
    def __init__(self):
        super().__init__()
        self.calls = OrderedDict()
        self.reports = set()

    async def async_pre_call_hook(self, user_api_key_dict, cache, data, call_type):
        """Asks and reserves; what is raised here reaches the client, and nothing the provider."""
        if not data.get("model"):
            return data
        who = who_calls(user_api_key_dict)
        if who is None:
            raise HTTPException(401, "No user of CloudFreedom is known for this key.")
        if settings.output_limit > 0 and most_output_tokens(data) is None:
            name = "max_output_tokens" if call_type in ("responses", "aresponses") else "max_tokens"
            if data.get("messages") or data.get("input") and "responses" in str(call_type):
                data[name] = settings.output_limit
        call = Call(who, data)
        body = {**who, "model": call.model, "prompt_tokens": most_prompt_tokens(data), "reserve": True}
        if "embedding" in str(call_type):
            body["max_tokens"] = 0
        elif (most := most_output_tokens(data)) is not None:
            body["max_tokens"] = most
        try:
            answer, content = await billing.check(body, call.id)
        except Unreachable as error:
            if settings.fail_closed:
                log.error("a call was refused: the budget cannot be asked (%s)", error)
                self.later(self.undo(body, call.id))
                raise HTTPException(503, "The budget cannot be checked now. Try again later.") from error
            log.error("a call was let through: the budget cannot be asked (%s)", error)
        else:
            status = answer.status_code
            message = content.get("error") or content.get("message") or f"status {status}"
            if status == 429:
                raise limited(answer, content)
            if status == 404:
                raise HTTPException(401, "Incorrect API key provided: CloudFreedom knows no such user.")
            if status == 403:
                raise HTTPException(403, message)
            if status != 200:
                log.error("a budget check was not understood: %s", message)
                raise HTTPException(status if status in (400, 422) else 503, message)
            call.reservation = content.get("reservation_id")
        # The one of the two that LiteLLM itself fills for this route.
        metadata = next(
            (data[name] for name in ("litellm_metadata", "metadata") if "user_api_key" in (data.get(name) or {})),
            None,
        )
        if metadata is None:
            metadata = data.setdefault("metadata", {})
        metadata[MARK] = call.id
        remember(self.calls, call.id, call, MAX_CALLS)
        self.forget_old()
        return data

    def forget_old(self):
        while self.calls:
            oldest = next(iter(self.calls.values()))
            if oldest.settled or time.monotonic() - oldest.began > FORGET_SECONDS:
                self.calls.popitem(last=False)
            else:
                return

    def find(self, *places):
        for place in places:
            mark = (place or {}).get(MARK) if isinstance(place, dict) else None
            if mark in self.calls:
                return self.calls[mark]
        return None

    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        params = kwargs.get("litellm_params") or {}
        call = self.find(params.get("metadata"), params.get("litellm_metadata"))
        if call is None or call.settled:
            return
        standard = kwargs.get("standard_logging_object") or {}
        if kwargs.get("cache_hit") is True:
            # LiteLLM's own cache answered; nothing was bought.
            self.release(call)
            return
        used = counts(get(response_obj, "usage")) or (
            int(standard.get("prompt_tokens") or 0),
            int(standard.get("completion_tokens") or 0),
            0,
            0,
        )
        cost = kwargs.get("response_cost") if settings.litellm_cost else None
        self.settle(call, used, cost, {"provider": standard.get("custom_llm_provider") or ""})

    async def async_post_call_streaming_iterator_hook(self, user_api_key_dict, response, request_data):
        """Follows a stream, so that one that breaks off or is hung up on is paid for as far as it went."""
        call = self.find(request_data.get("metadata"), request_data.get("litellm_metadata"))
        ended = False
        try:
            async for chunk in response:
                if call is not None:
                    call.text.append(text_of(chunk))
                    call.usage = counts(get(chunk, "usage")) or call.usage
                yield chunk
            ended = True
        finally:
            if call is not None and not ended:
                self.broke_off(call)

    async def async_post_call_failure_hook(self, request_data, original_exception, user_api_key_dict, traceback_str=None):
        """The request failed for good: retries and fallbacks of LiteLLM are over."""
        call = self.find(request_data.get("metadata"), request_data.get("litellm_metadata"))
        if call is not None and not call.settled:
            self.broke_off(call)

    def broke_off(self, call):
        if call.settled:
            return
        text = "".join(call.text)
        if not text and call.usage is None:
            self.release(call)
            return
        used = call.usage
        if used is None:
            used = (self.tokens(call, call.prompt), self.tokens(call, text), 0, 0)
        self.settle(call, used, None, {"interrupted": True, "estimated": call.usage is None})

    @staticmethod
    def tokens(call, content):
        try:
            if isinstance(content, list) and content and isinstance(content[0], dict) and "role" in content[0]:
                return litellm.token_counter(model=call.model, messages=content)
            text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=str)
            return litellm.token_counter(model=call.model, text=text)
        except Exception:
            return len(str(content).encode()) // 3 + 1

    def settle(self, call, used, cost, metadata):
        call.settled = True
        prompt, completion, cached, written = used
        body = {
            "request_id": call.id,
            **call.who,
            "model": call.model,
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "cached_tokens": min(cached, prompt),
            "cache_write_tokens": min(written, prompt - min(cached, prompt)),
            "metadata": {"reported_by": "litellm", **metadata},
        }
        if call.reservation:
            body["reservation_id"] = call.reservation
        if cost is not None:
            body["cost"], body["currency"] = round(float(cost), 9), "USD"
        self.later(self.report(body))
        self.calls.pop(call.id, None)

    def release(self, call):
        call.settled = True
        self.calls.pop(call.id, None)
        if call.reservation:
            self.later(self.give_back(call.reservation))

    def later(self, work):
        """Not while the client waits, and with nobody to hang up on it."""
        if len(self.reports) >= MAX_REPORTS:
            log.error("too many reports wait for the Billing API; one is dropped")
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self.reports.add(task)
        task.add_done_callback(self.reports.discard)

    async def give_back(self, reservation):
        for wait in (0, 1, 5):
            await asyncio.sleep(wait)
            try:
                answer, _ = await billing.send("DELETE", f"/api/reservations/{reservation}")
            except Unreachable:
                continue
            if answer.status_code in (204, 404):
                return
        log.warning("the reservation %s could not be released; it expires by itself", reservation)

    async def undo(self, body, key):
        """Only the answer may have been lost: the same key tells which reservation it was."""
        for wait in (1, 5, 15):
            await asyncio.sleep(wait)
            try:
                _, content = await billing.check(body, key)
            except Unreachable:
                continue
            if reservation := content.get("reservation_id"):
                await self.give_back(reservation)
            return

    async def report(self, body):
        """Again and again under the same request_id, which is booked once."""
        until = time.monotonic() + settings.retry_seconds
        wait = 0.2
        while True:
            try:
                answer, content = await billing.send("POST", "/api/usage/log", body, timeout=10)
                status, why = answer.status_code, content.get("error")
            except Unreachable as error:
                status, why = 0, str(error)
            if status in (200, 201):
                return
            if status == 422 and "reservation_id" in body and "reservation" in str(why):
                del body["reservation_id"]
                continue
            if status in (400, 403, 404, 409, 413, 422) or time.monotonic() > until:
                # What is needed to book it by hand; the key is not.
                shown = {name: value for name, value in body.items() if name != "api_key"}
                log.error("usage could not be reported (%s): %s", why, json.dumps(shown))
                return
            await asyncio.sleep(wait)
            wait = min(wait * 2, 30)


callback = CloudFreedom()
