"""The doubles that run beside the server under test (`doubles/`), by what clients ask for."""

import json
import os

with open(os.environ["CF_DOUBLES"]) as file:
    _told = json.load(file)

# A key of somebody who may have all of them.
DOUBLES_KEY = _told["api_key"]
# Models for chats, one for each kind of provider, and for embeddings where the kind has them.
CHATS = [models["chat"] for models in _told["kinds"].values()]
EMBEDDINGS = [models["embeddings"] for models in _told["kinds"].values() if models["embeddings"]]
