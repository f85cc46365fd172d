"""Every kind of double: where it is, how it is reached, and what is deployed there."""

import json
from dataclasses import dataclass, field

from . import anthropic, azure, bedrock, compatible, gemini, mistral, openai, vertex
from .server import Server


@dataclass
class Kind:
    """A provider key and its models."""

    name: str
    provider: str
    base_url: str
    secret: str
    model: str
    """The provider's name of the model for chats."""
    embedding_model: str | None = None
    region: str = ""
    settings: dict = field(default_factory=dict)


def start():
    """Starts a server for each provider; the kinds that it is reached as."""
    at_openai = {"base_url": f"{Server(openai.answer).url}/v1", "secret": openai.SECRET}
    resource = Server(azure.answer).url
    google = vertex.Vertex()
    project = Server(google.answer).url
    account = google.account.as_file(f"{project}/token")
    aws = Server(bedrock.answer).url
    keys = f"{bedrock.ACCESS_KEY}:{bedrock.SECRET_KEY}:{bedrock.SESSION_TOKEN}"
    return [
        Kind("openai", "openai", model="gpt-4o-mini", embedding_model="text-embedding-3-small", **at_openai),
        Kind("openai-reasoning", "openai", model="gpt-5", **at_openai),
        Kind("azure-v1", "azure", resource, azure.SECRET, "our-reasoning", "our-vectors"),
        Kind(
            "azure-dated",
            "azure",
            resource,
            json.dumps(azure.PROGRAM),
            "our-chat",
            "our-vectors",
            settings={"api_version": azure.VERSION, "authority": resource},
        ),
        Kind("azure-claude", "azure", resource, azure.SECRET, azure.CLAUDE),
        Kind(
            "gemini",
            "gemini",
            f"{Server(gemini.answer).url}/v1beta",
            gemini.SECRET,
            gemini.MODEL,
            gemini.EMBEDDING_MODEL,
        ),
        Kind("vertex-gemini", "vertex", project, account, vertex.GEMINI, vertex.EMBEDDING_MODEL, vertex.REGION),
        Kind("vertex-claude", "vertex", project, account, vertex.CLAUDE, region=vertex.REGION),
        Kind("bedrock-claude", "bedrock", aws, keys, bedrock.CLAUDE, bedrock.TITAN, bedrock.REGION),
        Kind("bedrock-nova", "bedrock", aws, bedrock.BEARER, bedrock.NOVA, bedrock.COHERE, bedrock.REGION),
        Kind("bedrock-invoke", "bedrock", aws, keys, bedrock.CLAUDE, region=bedrock.REGION, settings={"api": "invoke"}),
        Kind("anthropic", "anthropic", f"{Server(anthropic.answer).url}/v1", anthropic.SECRET, anthropic.MODEL),
        Kind(
            "mistral",
            "mistral",
            f"{Server(mistral.answer).url}/v1",
            mistral.SECRET,
            mistral.MODEL,
            mistral.EMBEDDING_MODEL,
        ),
        Kind(
            "compatible",
            "openai_compatible",
            f"{Server(compatible.answer).url}/v1",
            compatible.SECRET,
            "llama-3",
            "bge-m3",
        ),
    ]
