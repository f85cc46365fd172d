"""What a request may look like: closed shapes, so that a field the provider does not know is found.

A shape is a type, a set of allowed values, `[shape]` for lists, `{"name": shape, "other?": shape}` for objects with
exactly these fields, `Either(...)`, `Nullable(shape)`, `Within(low, high)` for numbers, `Text(pattern)`,
`ByField("type", {...})` for objects whose shape one of their fields tells, or `OneOf({...})` for objects with exactly
one of these fields.
"""

import re
from dataclasses import dataclass

ANY = object


class Misfit(Exception):
    """The first place where a request is not what it must be."""

    def __init__(self, path, why, value=None):
        super().__init__(f"{path}: {why}")
        self.path, self.why, self.value = path, why, value


class Unknown(Misfit):
    """A field that the provider does not know."""


class Missing(Misfit):
    """A field without which it does not go."""


class Either:
    def __init__(self, *shapes):
        self.shapes = shapes


@dataclass
class Nullable:
    shape: object


@dataclass
class Within:
    low: float
    high: float


@dataclass
class Text:
    pattern: str


@dataclass
class ByField:
    field: str
    shapes: dict


@dataclass
class OneOf:
    shapes: dict


def check(value, shape, path=()):
    """Raises `Misfit` where the value does not have the shape."""
    if shape is ANY:
        return
    if isinstance(shape, Nullable):
        if value is not None:
            check(value, shape.shape, path)
    elif isinstance(shape, Either):
        check_either(value, shape, path)
    elif isinstance(shape, Within):
        if not is_number(value) or not shape.low <= value <= shape.high:
            raise Misfit(path, f"must be from {shape.low} to {shape.high}", value)
    elif isinstance(shape, Text):
        if not isinstance(value, str) or not re.fullmatch(shape.pattern, value):
            raise Misfit(path, f"must be a string that matches {shape.pattern}", value)
    elif isinstance(shape, ByField):
        if not isinstance(value, dict) or value.get(shape.field) not in shape.shapes:
            raise Misfit((*path, shape.field), f"must be one of {sorted(shape.shapes)}", value)
        check(value, {shape.field: str, **shape.shapes[value[shape.field]]}, path)
    elif isinstance(shape, OneOf):
        if not isinstance(value, dict) or len(value) != 1:
            raise Misfit(path, "must have exactly one field", value)
        [(name, inner)] = value.items()
        if name not in shape.shapes:
            raise Unknown((*path, name), "is not known", inner)
        check(inner, shape.shapes[name], (*path, name))
    elif isinstance(shape, dict):
        check_object(value, shape, path)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise Misfit(path, "must be a list", value)
        for index, item in enumerate(value):
            check(item, shape[0], (*path, index))
    elif isinstance(shape, (set, frozenset)):
        if not isinstance(value, (str, bool, int)) or value not in shape:
            raise Misfit(path, f"must be one of {sorted(map(str, shape))}", value)
    elif shape is float:
        if not is_number(value):
            raise Misfit(path, "must be a number", value)
    elif not isinstance(value, shape) or (shape is int and isinstance(value, bool)):
        raise Misfit(path, f"must be of type {shape.__name__}", value)


def check_either(value, shape, path):
    failures = []
    for one in shape.shapes:
        try:
            return check(value, one, path)
        except Misfit as misfit:
            failures.append(misfit)
    # The one that came furthest says best what is wrong.
    raise max(failures, key=lambda misfit: len(misfit.path))


def check_object(value, shape, path):
    if not isinstance(value, dict):
        raise Misfit(path, "must be an object", value)
    required = {name for name in shape if not name.endswith("?")}
    known = {name.removesuffix("?"): inner for name, inner in shape.items()}
    for name in value:
        if name not in known:
            raise Unknown((*path, name), "is not known", value[name])
    for name in sorted(required - set(value)):
        raise Missing((*path, name), "is required")
    for name, inner in value.items():
        check(inner, known[name], (*path, name))


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def dotted(path):
    """`messages[1].content`"""
    written = ""
    for step in path:
        written += f"[{step}]" if isinstance(step, int) else f".{step}" if written else step
    return written
