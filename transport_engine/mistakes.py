"""Says what is wrong in a configuration: file, key, value and what is allowed.

Works from a pydantic model's errors and its JSON schema; knows no key by name.
"""

import difflib
from typing import Any, Final, TypeAlias

from pydantic import BaseModel, ValidationError

from transport_engine.errors import ConfigError

Schema: TypeAlias = dict[str, Any]

_VALUE_CHARACTERS_MAX: Final = 60
_KINDS: Final = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a table",
}
_FORMATS: Final = {
    "ipv4": "an IPv4 address",
    "ipv6": "an IPv6 address",
    "path": "a path, without a zero byte",
    "text": "text without a zero byte",
    "ring": "a power of two from 131072 to 1073741824",
    "ipv4network": "an IPv4 network such as 10.0.0.0/8",
    "ipv6network": "an IPv6 network such as 2001:db8::/32",
    "ports": 'a port such as 7000, ports such as "7000-7099", or the name of a service',
}


class Told(BaseModel):
    """A model of which a wrong value is told in a program as it is in a file.

    Errors: ConfigError, by the constructor.
    """

    def __init__(self, /, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            kind = type(self)
            raise ConfigError(sentences(error, kind, kind.__name__)) from None

    # With the mark of pydantic's own: models within others are then made without this constructor,
    # so that their mistakes are told with all keys.
    vars(__init__).update(vars(BaseModel.__init__))


def sentences(error: ValidationError, model: type[BaseModel], source: str) -> str:
    """One line for each mistake; `source` opens it."""
    whole = model.model_json_schema()
    lines: dict[str, None] = {}  # a union reports a mistake for each of its members
    for detail in error.errors(include_url=False):
        lines[f"{source}: {_sentence(detail, whole)}"] = None
    return "\n".join(lines)


def _sentence(detail: Any, whole: Schema) -> str:
    keys, schema, siblings = _follow(detail["loc"], whole)
    key = ".".join(keys) or "the whole"
    if detail["type"] == "json_invalid":
        return str(detail["msg"])
    if detail["type"] == "missing":
        return f"{key} is missing; allowed is {allowed(schema, whole)}"
    if detail["type"] == "extra_forbidden":
        near = difflib.get_close_matches(keys[-1], siblings, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(siblings)}"
        return f"{key} is not a key; {hint}"
    if detail["type"] == "value_error" and "properties" in schema:
        return f"{key}.{detail['ctx']['error']}" if keys else str(detail["ctx"]["error"])
    return f"{key} is {_toml(detail['input'])}; allowed is {allowed(schema, whole)}"


def _follow(location: tuple[int | str, ...], whole: Schema) -> tuple[list[str], Schema, list[str]]:
    """The keys of a location, the schema there, and the keys beside it.

    The member of a union that a value says it is, is no key. What pydantic appends for members of
    other unions is none either, and ends the walk.
    """
    keys: list[str] = []
    schema = whole
    siblings: list[str] = []
    for part in location:
        schema = _only_choice(schema, whole)
        if isinstance(part, int):
            keys[-1] += f"[{part}]"
            places = schema.get("prefixItems", [])
            item = places[part] if part < len(places) else schema.get("items", {})
            schema = _resolved(item, whole)
            continue
        if "discriminator" in schema:
            schema = _resolved({"$ref": schema["discriminator"]["mapping"][part]}, whole)
            continue
        if part == "[key]":
            schema = {"pattern": next(iter(schema["patternProperties"]))}
            break
        if "patternProperties" in schema:
            keys.append(part)
            if "[key]" not in location:
                schema = _resolved(next(iter(schema["patternProperties"].values())), whole)
            continue
        if "properties" not in schema:
            break
        keys.append(part)
        siblings = list(schema["properties"])
        schema = _resolved(schema["properties"].get(part, {}), whole)
    return keys, schema, siblings


def _resolved(schema: Schema, whole: Schema) -> Schema:
    reference: str | None = schema.get("$ref")
    if reference is None:
        return schema
    resolved: Schema = whole["$defs"][reference.rpartition("/")[2]]
    return resolved


def _only_choice(schema: Schema, whole: Schema) -> Schema:
    """What an optional value is if it is there; any other schema as it is."""
    members = [member for member in schema.get("anyOf", []) if member.get("type") != "null"]
    return _resolved(members[0], whole) if len(members) == 1 else schema


def allowed(schema: Schema, whole: Schema) -> str:
    """What a schema lets through, in words."""
    schema = _resolved(schema, whole)
    if "discriminator" in schema:
        names = " or ".join(_toml(name) for name in schema["discriminator"]["mapping"])
        return f"an object whose {schema['discriminator']['propertyName']} is {names}"
    if "anyOf" in schema:
        members = [member for member in schema["anyOf"] if member.get("type") != "null"]
        return " or ".join(allowed(member, whole) for member in members)
    if "const" in schema:
        return _toml(schema["const"])
    if "enum" in schema:
        return " or ".join(_toml(choice) for choice in schema["enum"])
    if "format" in schema:
        name: str = schema["format"]
        return _FORMATS.get(name, name)
    words = _KINDS.get(schema.get("type", ""), "a string")
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is not None:
        words += f" {'from' if 'minimum' in schema else 'above'} {low}"
    if high is not None:
        words += f" {'to' if 'maximum' in schema else 'and below'} {high}"
    if "minItems" in schema:
        words += f" of at least {schema['minItems']}"
    if "maxLength" in schema:
        words += f" of up to {schema['maxLength']} characters"
    if "pattern" in schema:
        words += f" that matches {schema['pattern']}"
    if "items" in schema:
        words += f", each {allowed(schema['items'], whole)}"
    return words


def _toml(value: Any) -> str:
    """A value as it stands in a TOML file, cut if it is long."""
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    if len(text) > _VALUE_CHARACTERS_MAX:
        return text[: _VALUE_CHARACTERS_MAX - 3] + "..."
    return text
