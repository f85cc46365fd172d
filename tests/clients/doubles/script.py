"""What every double says, whoever asks in whichever format; and what it is asked for."""

import json
from dataclasses import dataclass, field

GREETING = "Hello from the double."
AFTER_TOOL = "It is sunny."

ARGUMENTS = {"city": "Berlin"}
CITY_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
# What a tool must have answered for the double to go on.
WEATHER = "sunny"

PERSON = {"name": "Ada", "age": 36}
PERSON_SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}

PROMPT_TOKENS = 11
OUTPUT_TOKENS = 7
THINKING_TOKENS = 5


@dataclass
class Asked:
    """A request as far as the script follows it."""

    tools: dict = field(default_factory=dict)
    """Schemas of the tools that are offered and may be called, by their names."""
    results: list = field(default_factory=list)
    """Texts of the results that the last message brings."""
    wants_person: bool = False
    """Whether a schema asks for a person."""
    thinks: bool = False
    """Whether thinking was asked for."""


@dataclass
class Told:
    """What is said to it: a call of a tool, or else a text."""

    text: str = ""
    call: str | None = None
    arguments: dict = field(default_factory=dict)

    @property
    def words(self):
        """The text in pieces, as a stream has it."""
        first, *rest = self.text.split(" ")
        return [first, *(f" {word}" for word in rest)]


def tell(asked, refuse):
    """The script's next line; `refuse` raises the provider's own refusal."""
    if asked.results:
        for result in asked.results:
            if WEATHER not in result:
                refuse(f"the tool's result did not arrive: {result!r}")
        return Told(text=AFTER_TOOL)
    if asked.wants_person:
        return Told(text=json.dumps(PERSON))
    for name, schema in asked.tools.items():
        # Some clients ask for structured output by a tool.
        return Told(call=name, arguments=PERSON if is_person(schema) else ARGUMENTS)
    return Told(text=GREETING)


def is_person(schema):
    """Whether a JSON schema is that of a person, as the tests ask for it."""
    return isinstance(schema, dict) and set(schema.get("properties", {})) == {"name", "age"}


def vector_of(text, dimensions):
    """Numbers that follow from the text, and are exact in 32 bits."""
    seed = sum(str(text).encode())
    return [((seed + 31 * place) % 64 - 32) / 64 for place in range(dimensions)]
