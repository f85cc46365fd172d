"""Starts a double of every kind and makes it a provider of the server under test."""

import json
import sys
import time
from pathlib import Path

from harness import Superuser, key_for_all_models

from .kinds import start

# The models of the doubles are asked for by these names.
CHAT, EMBEDDINGS = "double-{}", "double-{}-embeddings"


def add(superuser, kind):
    """The names by which clients ask for the kind's models; `None` where there are none."""
    key = superuser.create(
        "provider_keys",
        {
            "name": f"double {kind.name}",
            "provider": kind.provider,
            "base_url": kind.base_url,
            "secret": kind.secret,
            "region": kind.region,
            "settings": kind.settings,
            "active": True,
        },
    )
    names = {}
    for use, pattern, deployed in [("chat", CHAT, kind.model), ("embeddings", EMBEDDINGS, kind.embedding_model)]:
        names[use] = deployed and pattern.format(kind.name)
        if deployed:
            superuser.create(
                "models",
                {
                    "name": names[use],
                    "deployments": [{"provider_key": key["id"], "model": deployed}],
                    "prices": {"input": 0.10, "output": 0.40},
                    "context_window": 4096,
                    "max_output_tokens": 4096,
                    "active": True,
                },
            )
    return names


def main():
    _, option, into = sys.argv
    assert option == "--into", sys.argv
    superuser = Superuser()
    kinds = {kind.name: add(superuser, kind) for kind in start()}
    told = {"api_key": key_for_all_models(superuser, "doubles"), "kinds": kinds}
    # Seen whole or not at all by whoever waits for it.
    unfinished = Path(f"{into}.new")
    unfinished.write_text(json.dumps(told))
    unfinished.rename(into)
    while True:
        time.sleep(3600)


main()
