"""Types as data: what values of a type look like on the wire, and nothing else of them.

A shape is one type; a definition is a record, an enumeration or an error that shapes name. Names of
classes and modules are no part of what travels, names of fields and values of enumerations are.
Knows no Python type: `hints` makes shapes from those, a lock file holds shapes as JSON.

Shape: {"kind": ...} with the other fields where they are not empty; a bare scalar is its kind.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, cast

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Layout: TypeAlias = Literal["map", "array"]
DefinitionKind: TypeAlias = Literal["record", "enum", "error"]
Codec: TypeAlias = Literal["", "raw", "nothing", "struct"]

SCALARS: Final = frozenset(
    {
        "any", "bool", "bytes", "date", "datetime", "decimal", "float", "int", "none", "str",
        "time", "timedelta", "uuid",
    }
)  # fmt: skip
BYTES: Final = "base64"  # the key of bytes among values that are picked out
CONTAINERS: Final = {"list": 1, "set": 1, "dict": 2, "tuple": None, "union": None}
_CODECS: Final[dict[str, Codec]] = {"raw": "raw", "nothing": "nothing", "struct": "struct"}
_KINDS: Final[dict[str, DefinitionKind]] = {"record": "record", "enum": "enum", "error": "error"}


class MalformedSchema(ValueError):
    """JSON that is no schema; the sentence says where."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A type. `of` are its items, its key and value, or its alternatives."""

    kind: str
    of: tuple["Shape", ...] = ()
    name: str = ""  # of the definition that a `ref` stands for, of a type known by name only
    values: tuple[Json, ...] = ()  # of a literal
    limits: tuple[tuple[str, Json], ...] = ()
    codec: Codec = ""  # how the outermost value of an argument or result is written

    def __str__(self) -> str:
        return _spelled(self) + _spelled_limits(self.limits)

    def to_json(self) -> Json:
        """A string where the kind says it all, else an object."""
        entry: dict[str, Json] = {"kind": self.kind}
        if self.of:
            entry["of"] = [shape.to_json() for shape in self.of]
        if self.name:
            entry["name"] = self.name
        if self.kind == "literal":
            entry["values"] = list(self.values)
        if self.limits:
            entry["limits"] = dict(self.limits)
        if self.codec:
            entry["codec"] = self.codec
        return self.kind if len(entry) == 1 else entry


@dataclass(frozen=True, slots=True)
class Member:
    """A field or a parameter under the name that travels.

    `default` is JSON text, "" where there is none, "computed" where it is made anew each time.
    """

    name: str
    shape: Shape
    required: bool = True  # who reads it refuses its absence
    default: str = ""
    may_be_absent: bool = False  # who writes it may leave it out
    is_only_sent: bool = False  # who reads it makes one of its own
    is_only_read: bool = False  # who writes it leaves it out

    def to_json(self) -> dict[str, Json]:
        entry: dict[str, Json] = {"name": self.name, "type": self.shape.to_json()}
        if not self.required:
            entry["default"] = self.default
        if self.may_be_absent:
            entry["may_be_absent"] = True
        if self.is_only_sent:
            entry["is_only_sent"] = True
        if self.is_only_read:
            entry["is_only_read"] = True
        return entry


@dataclass(frozen=True, slots=True)
class Definition:
    """What a `ref` stands for; `values` are those of an enumeration, by the names of its members.

    Members and values stand as they are declared; the canonical form sorts those whose order does
    not travel.
    """

    kind: DefinitionKind
    name: str
    members: tuple[Member, ...] = ()
    values: tuple[tuple[str, Json], ...] = ()
    layout: Layout = "map"
    refuses_unknown: bool = False
    sends_unknown: bool = False  # fields that are not among its members
    unknown: Shape | None = None  # what those are; None: anything
    code: str = ""  # of an error

    def to_json(self) -> dict[str, Json]:
        entry: dict[str, Json] = {"kind": self.kind}
        if self.kind == "enum":
            entry["values"] = dict(self.values)
            return entry
        members = self.members
        if self.layout == "map":
            members = tuple(sorted(members, key=lambda member: member.name))
        entry["fields"] = [member.to_json() for member in members]
        if self.layout == "array":
            entry["layout"] = "array"
        if self.refuses_unknown:
            entry["refuses_unknown"] = True
        if self.sends_unknown:
            entry["sends_unknown"] = True
        if self.unknown is not None:
            entry["unknown"] = self.unknown.to_json()
        if self.code:
            entry["code"] = self.code
        return entry


@dataclass(frozen=True, slots=True)
class Definitions:
    """The definitions that a set of shapes names, by name."""

    by_name: dict[str, Definition] = field(default_factory=dict[str, Definition])

    def __getitem__(self, shape: Shape) -> Definition:
        return self.by_name[shape.name]

    def reached(self, shapes: list[Shape]) -> dict[str, Definition]:
        """Those that the shapes name, directly or by way of others, sorted by name."""
        found: dict[str, Definition] = {}
        waiting = list(shapes)
        while waiting:
            shape = waiting.pop()
            waiting += shape.of
            if shape.kind == "ref" and shape.name not in found:
                definition = found[shape.name] = self[shape]
                waiting += [member.shape for member in definition.members]
                waiting += [] if definition.unknown is None else [definition.unknown]
        return dict(sorted(found.items()))


def canonical(value: Json) -> str:
    """The one spelling of this JSON: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def shape_from(value: object, where: str) -> Shape:
    """The inverse of `Shape.to_json`. Errors: MalformedSchema."""
    if isinstance(value, str):
        value = {"kind": value}
    entry = object_from(value, where)
    kind = text_from(entry.get("kind"), f"{where}: kind")
    of = tuple(shape_from(each, where) for each in list_from(entry.get("of", []), where))
    if kind not in SCALARS | CONTAINERS.keys() | {"ref", "literal", "other"}:
        raise MalformedSchema(f"{where}: {kind!r} is no kind of type")
    if CONTAINERS.get(kind, 0) not in (None, len(of)):
        raise MalformedSchema(f"{where}: a {kind} has not {len(of)} types in it")
    if kind == "union" and not of:
        raise MalformedSchema(f"{where}: a union of nothing")
    return Shape(
        kind,
        of,
        text_from(entry.get("name", ""), f"{where}: name"),
        tuple(cast(list[Json], list_from(entry.get("values", []), where))),
        tuple(sorted(cast(dict[str, Json], object_from(entry.get("limits", {}), where)).items())),
        _CODECS.get(text_from(entry.get("codec", ""), f"{where}: codec"), ""),
    )


def member_from(value: object, where: str) -> Member:
    """The inverse of `Member.to_json`. Errors: MalformedSchema."""
    entry = object_from(value, where)
    name = text_from(entry.get("name"), f"{where}: name")
    return Member(
        name,
        shape_from(entry.get("type"), f"{where}.{name}"),
        "default" not in entry,
        text_from(entry.get("default", ""), f"{where}.{name}: default"),
        entry.get("may_be_absent") is True,
        entry.get("is_only_sent") is True,
        entry.get("is_only_read") is True,
    )


def definition_from(name: str, value: object, where: str) -> Definition:
    """The inverse of `Definition.to_json`. Errors: MalformedSchema."""
    entry = object_from(value, where)
    said = text_from(entry.get("kind"), f"{where}: kind")
    kind = _KINDS.get(said)
    if kind is None:
        raise MalformedSchema(f"{where}: {said!r} is no kind of definition")
    values = cast(dict[str, Json], object_from(entry.get("values", {}), where))
    return Definition(
        kind,
        name,
        tuple(member_from(each, where) for each in list_from(entry.get("fields", []), where)),
        tuple(values.items()),
        "array" if entry.get("layout") == "array" else "map",
        entry.get("refuses_unknown") is True,
        entry.get("sends_unknown") is True,
        shape_from(entry["unknown"], f"{where}: unknown") if "unknown" in entry else None,
        text_from(entry.get("code", ""), f"{where}: code"),
    )


def object_from(value: object, where: str) -> dict[str, object]:
    """The value, if it is a JSON object. Errors: MalformedSchema."""
    if not isinstance(value, dict):
        raise MalformedSchema(f"{where} must be an object")
    return cast(dict[str, object], value)


def list_from(value: object, where: str) -> list[object]:
    """The value, if it is a JSON array. Errors: MalformedSchema."""
    if not isinstance(value, list):
        raise MalformedSchema(f"{where} must be an array")
    return cast(list[object], value)


def text_from(value: object, where: str) -> str:
    """The value, if it is a JSON string. Errors: MalformedSchema."""
    if not isinstance(value, str):
        raise MalformedSchema(f"{where} must be a string")
    return value


def _spelled(shape: Shape) -> str:
    of = [str(each) for each in shape.of]
    match shape.kind:
        case "union":
            return " | ".join(sorted(of, key=lambda each: each == "None"))
        case "literal":
            return f"Literal[{', '.join(repr(value) for value in shape.values)}]"
        case "ref" | "other":
            return shape.name
        case "none":
            return "None"
        case _:
            return f"{shape.kind}[{', '.join(of)}]" if of else shape.kind


def _spelled_limits(limits: tuple[tuple[str, Any], ...]) -> str:
    return f" ({', '.join(f'{name}={value!r}' for name, value in limits)})" if limits else ""
