"""A service as a proto3 file, for programs that speak protobuf.

What proto3 has no like of is mapped as docs/evolution.md#export says, or refused in a sentence.
Field numbers count in the order of declaration: append, and they stay.
"""

import re
from typing import Final

from idl.contract import MethodDescription, ServiceDescription
from idl.shapes import Definition, Definitions, Json, Member, Shape

_SCALARS: Final = {
    "bool": "bool",
    "int": "int64",
    "float": "double",
    "str": "string",
    "bytes": "bytes",
    "date": "string",
    "time": "string",
    "decimal": "string",
    "uuid": "string",
    "datetime": "google.protobuf.Timestamp",
    "timedelta": "google.protobuf.Duration",
    "any": "google.protobuf.Value",
    "none": "google.protobuf.NullValue",
}
_IMPORTS: Final = {
    "Timestamp": "timestamp",
    "Duration": "duration",
    "Struct": "struct",
    "Value": "struct",
    "ListValue": "struct",
    "NullValue": "struct",
    "Empty": "empty",
}
_KEYS: Final = ("bool", "int", "str")
_KNOWN: Final = "google.protobuf."
_STRUCTURES: Final = {
    Shape("dict", (Shape("str"), Shape("any"))): "Struct",
    Shape("list", (Shape("any"),)): "ListValue",
}
_ZEROS: Final = frozenset({"0", "0.0", "false", '""'})  # what proto3 means by a field left out
_INT32_MAX: Final = (1 << 31) - 1


class ProtoError(ValueError):
    """Something has no counterpart in proto3, or in Python; the sentence says what and where."""


def proto_of(service: ServiceDescription) -> str:
    """The text of the file. Errors: ProtoError."""
    return _File(service).text()


class _File:
    """The messages of a file as they come to be needed."""

    def __init__(self, service: ServiceDescription) -> None:
        self._service = service
        self._definitions: Definitions = service.definitions
        self._blocks: dict[str, list[str]] = {}  # by name, in the order of need
        self._names: dict[str, str] = {}  # what a definition is called here
        self._imports: set[str] = set()
        package, _, name = service.name.rpartition(".")
        self._name = _camel(name)
        self._package = _package(package or _snake(name))
        self._where = service.name

    def text(self) -> str:
        methods = [line for each in self._service.methods.values() for line in self._method(each)]
        imports = [f'import "google/protobuf/{name}.proto";' for name in sorted(self._imports)]
        lines = [*_comment(self._service.doc), f"service {self._name} {{"]
        lines += [f"  {line}" for line in methods] + ["}"]
        for block in self._blocks.values():
            lines += ["", *block]
        head = ['syntax = "proto3";', "", f"package {self._package};", ""]
        return "\n".join([*head, *imports, *([""] if imports else []), *lines]) + "\n"

    def _method(self, method: MethodDescription) -> list[str]:
        self._where = f"{self._service.name}/{method.name}"
        name = _camel(method.name)
        if [_camel(each) for each in self._service.methods].count(name) > 1:
            raise ProtoError(f"{self._where}: another method is called {name} in proto3, too")
        takes = self._request(method, f"{name}Request")
        gives = self._message_of(method.result, f"{name}Response", "value")
        takes, gives = self._seen_from_methods(takes), self._seen_from_methods(gives)
        if method.kind in ("client_stream", "bidirectional"):
            takes = f"stream {takes}"
        if method.kind in ("server_stream", "bidirectional"):
            gives = f"stream {gives}"
        for error in method.errors:
            self._reference(Shape("ref", name=f"error {error}"))
        raises = [f"// Fails with {', '.join(method.errors)}."] if method.errors else []
        if method.kind == "oneway":
            raises.append("// One-way: nobody waits for the answer.")
        line = f"rpc {name}({takes}) returns ({gives});"
        return [*_comment(method.doc), *raises, line]

    def _seen_from_methods(self, message: str) -> str:
        """A method hides a message of its name."""
        methods = {_camel(name) for name in self._service.methods}
        return f".{self._package}.{message}" if message in methods else message

    def _request(self, method: MethodDescription, name: str) -> str:
        if method.requests is not None:
            if method.parameters:
                raise ProtoError(f"{self._where}: a method of proto3 takes a stream or arguments")
            return self._message_of(method.requests.shape, name, method.requests.name)
        if not method.parameters:
            return self._known("Empty")
        if len(method.parameters) == 1 and method.parameters[0].required:
            (lone,) = method.parameters
            return self._message_of(lone.shape, name, lone.name)
        name = self._free(name)
        self._message(name, method.parameters)
        return name

    def _message_of(self, shape: Shape, name: str, field: str) -> str:
        """A message for one value: its own if it has one, else one that wraps it."""
        if shape.kind == "none":
            return self._known("Empty")
        if shape.kind == "ref" and self._definitions[shape].kind == "record":
            return self._reference(shape)
        name = self._free(name)
        self._message(name, (Member(field, shape),))
        return name

    def _reference(self, shape: Shape) -> str:
        if shape.name not in self._names:
            definition = self._definitions[shape]
            name = self._names[shape.name] = self._free(_camel(definition.name))
            if definition.kind == "enum":
                self._blocks[name] = list(_enum(name, definition, self._where))
            else:
                members = definition.members
                if definition.kind == "error" and not members:
                    members = (Member("message", Shape("str")),)
                self._message(name, members)
        return self._names[shape.name]

    def _message(self, name: str, members: tuple[Member, ...]) -> None:
        block = self._blocks[name] = [f"message {name} {{"]
        number = 1
        for member in members:
            lines, number = self._field(name, member, number)
            block += lines
        block.append("}")

    def _field(self, owner: str, member: Member, number: int) -> tuple[list[str], int]:
        field = _identifier(member.name, self._where)
        shape, is_optional = _without_none(member.shape)
        context = owner + _camel(member.name)
        if shape.kind == "union":
            return self._one_of(shape, field, context, number)
        label = ""
        if shape.kind in ("list", "set"):
            label, kind = "repeated ", self._single(shape.of[0], context + "Item")
            if is_optional:
                label, kind = "", self._single(shape, context)
        elif shape in _STRUCTURES:
            kind = self._single(shape, context)
        elif shape.kind == "dict" and not is_optional:
            kind = self._map(shape, context)
        else:
            kind = self._single(shape, context)
            is_zero = member.default in _ZEROS and not is_optional
            if (is_optional or not (member.required or is_zero)) and not kind.startswith("map<"):
                label = "optional "
        return [f"  {label}{kind} {field} = {number};"], number + 1

    def _one_of(self, shape: Shape, field: str, context: str, number: int) -> tuple[list[str], int]:
        lines = [f"  oneof {field} {{"]
        labels: list[str] = []
        for each in shape.of:
            kind = self._single(each, context + _camel(each.kind))
            label = _snake(kind.rpartition(".")[2])
            labels.append(label if label not in labels else f"{label}_{number}")
            lines.append(f"    {kind} {field}_{labels[-1]} = {number};")
            number += 1
        return [*lines, "  }"], number

    def _single(self, shape: Shape, context: str) -> str:
        """The name of a type that is neither repeated nor a map."""
        if shape in _STRUCTURES:
            return self._known(_STRUCTURES[shape])
        match shape.kind:
            case "ref":
                return self._reference(shape)
            case "literal":
                return self._literal(shape)
            case "int":
                return _integer(dict(shape.limits))
            case "list" | "set" | "dict" | "union":
                return self._wrapper(shape, context)
            case "tuple":
                items = tuple(Member(f"item_{n}", each) for n, each in enumerate(shape.of, 1))
                name = self._free(context)
                self._message(name, items)
                return name
            case "other":
                raise ProtoError(f"{self._where}: {shape.name} has no counterpart in proto3")
            case scalar:
                kind = _SCALARS[scalar]
                return self._known(kind[len(_KNOWN) :]) if kind.startswith(_KNOWN) else kind

    def _known(self, name: str) -> str:
        self._imports.add(_IMPORTS[name])
        return _KNOWN + name

    def _wrapper(self, shape: Shape, context: str) -> str:
        name = self._free(context)
        self._message(name, (Member("value", shape),))
        return name

    def _map(self, shape: Shape, context: str) -> str:
        key, value = shape.of
        if key.kind not in (*_KEYS, "literal"):
            raise ProtoError(f"{self._where}: {key} cannot be a key of a map of proto3")
        kind = self._single(key, context)
        return f"map<{kind}, {self._single(value, context + 'Value')}>"

    def _literal(self, shape: Shape) -> str:
        kinds = {
            "bytes" if isinstance(value, dict) else type(value).__name__ for value in shape.values
        }
        if len(kinds) == 1 and kinds <= {"str", "int", "bool", "bytes"}:
            return _SCALARS[kinds.pop()]
        raise ProtoError(f"{self._where}: {shape} mixes types, which proto3 cannot")

    def _free(self, name: str) -> str:
        free, number = name, 2
        while free in self._blocks or free in self._names.values() or free == self._name:
            free, number = f"{name}{number}", number + 1
        return free


def _enum(name: str, definition: Definition, where: str) -> list[str]:
    """Numbers are the values if those are numbers; a zero must be there, and come first."""
    prefix = _snake(name).upper()
    if all(label.upper().startswith(f"{prefix}_") for label, _ in definition.values):
        prefix = ""
    numbers = [value for _, value in definition.values]
    if not all(_is_int32(value) for value in numbers):
        numbers = list(range(1, len(numbers) + 1))
    pairs = [
        (f"{prefix}_{_identifier(label, where).upper()}".lstrip("_"), number)
        for (label, _), number in zip(definition.values, numbers, strict=True)
    ]
    if 0 not in numbers:
        pairs.insert(0, (f"{_snake(name).upper()}_UNSPECIFIED", 0))
    pairs.sort(key=lambda pair: pair[1] != 0)
    labels = [label for label, _ in pairs]
    if twice := [label for label in labels if labels.count(label) > 1]:
        raise ProtoError(
            f"{where}: two values of {definition.name} are called {twice[0]} in proto3"
        )
    has_aliases = len({str(number) for _, number in pairs}) < len(pairs)
    option = ["  option allow_alias = true;"] if has_aliases else []
    return [f"enum {name} {{", *option, *(f"  {label} = {number};" for label, number in pairs), "}"]


def _integer(limits: dict[str, Json]) -> str:
    """The narrowest type of proto3 that limits name exactly, as an import writes them."""
    lower, upper = limits.get("ge"), limits.get("lt")
    if lower == 0:
        return "uint32" if upper == 1 << 32 else "uint64"
    return "int32" if (lower, upper) == (-(1 << 31), 1 << 31) else "int64"


def _is_int32(value: Json) -> bool:
    return type(value) is int and abs(value) <= _INT32_MAX


def _without_none(shape: Shape) -> tuple[Shape, bool]:
    if shape.kind != "union":
        return shape, False
    others = tuple(each for each in shape.of if each.kind != "none")
    rest = others[0] if len(others) == 1 else Shape("union", others)
    return rest, len(others) < len(shape.of)


def _identifier(name: str, where: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise ProtoError(f"{where}: {name!r} cannot be a name in proto3")
    return name


def _camel(name: str) -> str:
    return "".join(word[0].upper() + word[1:] for word in re.split(r"[\W_]+", name) if word)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _package(name: str) -> str:
    parts = [re.sub(r"\W+", "_", part, flags=re.ASCII) for part in name.lower().split(".") if part]
    return ".".join(part if part[:1].isalpha() else f"p{part}" for part in parts)


def _comment(text: str) -> list[str]:
    return [f"// {line}".rstrip() for line in text.splitlines()]
