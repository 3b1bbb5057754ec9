"""From .proto files to a contract: Python text with a class for each message and service.

Protobuf's own compiler reads the files; what comes of it is a descriptor, from which the text is
written. Messages become dataclasses, well-known types what Python has for them. It is the schema
that is taken over: calls travel as msgpack, as those of any other contract.
"""

import keyword
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from idl.proto import ProtoError
from idl.proto_files import ProtoFiles, comments_of

WIDTH: Final = 88  # of ruff's default; whatever is split has a comma that keeps it so
INT32: Final = "Annotated[int, Field(ge=-(2**31), lt=2**31)]"
UINT32: Final = "Annotated[int, Field(ge=0, lt=2**32)]"
INT64: Final = "Annotated[int, Field(ge=-(2**63), lt=2**63)]"
UINT64: Final = "Annotated[int, Field(ge=0, lt=2**64)]"
ALIASES: Final = {"Int32": INT32, "UInt32": UINT32, "Int64": INT64, "UInt64": UINT64}
# FieldDescriptorProto.Type -> (annotation, default); source: google/protobuf/descriptor.proto
_SCALARS: Final = {
    1: ("float", "0.0"), 2: ("float", "0.0"),
    3: ("Int64", "0"), 16: ("Int64", "0"), 18: ("Int64", "0"),
    4: ("UInt64", "0"), 6: ("UInt64", "0"),
    5: ("Int32", "0"), 15: ("Int32", "0"), 17: ("Int32", "0"),
    13: ("UInt32", "0"), 7: ("UInt32", "0"),
    8: ("bool", "False"), 9: ("str", '""'), 12: ("bytes", 'b""'),
}  # fmt: skip
_MESSAGES, _ENUM = (10, 11), 14
_REQUIRED, _REPEATED = 2, 3
_WELL_KNOWN: Final = {
    "Timestamp": "datetime",
    "Duration": "timedelta",
    "Empty": "None",
    "FieldMask": "list[str]",
    "Struct": "dict[str, Any]",
    "Value": "Any",
    "ListValue": "list[Any]",
    "Any": "dict[str, Any]",
    "DoubleValue": "float | None",
    "FloatValue": "float | None",
    "Int64Value": "Int64 | None",
    "UInt64Value": "UInt64 | None",
    "Int32Value": "Int32 | None",
    "UInt32Value": "UInt32 | None",
    "BoolValue": "bool | None",
    "StringValue": "str | None",
    "BytesValue": "bytes | None",
}
_BUILTINS: Final = frozenset({"bool", "bytes", "dict", "float", "int", "list", "str"})
_KNOWN_PREFIX: Final = ".google.protobuf."
# What a generated module may import, and from where.
_ORIGINS: Final = {
    "AsyncIterator": "collections.abc",
    "dataclass": "dataclasses",
    "field": "dataclasses",
    "datetime": "datetime",
    "timedelta": "datetime",
    "IntEnum": "enum",
    "Annotated": "typing",
    "Any": "typing",
    "TypeAlias": "typing",
    "Field": "pydantic",
    "rpc": "machnet_rpc",
    "service": "machnet_rpc",
}
_STANDARD: Final = ("collections.abc", "dataclasses", "datetime", "enum", "typing")


@dataclass(frozen=True, slots=True)
class _Named:
    """A message or an enumeration of the descriptor, with what it is called in Python."""

    python: str
    full: str
    descriptor: Any
    comment: str


def import_proto(files: Sequence[Path], include: Sequence[Path] = ()) -> str:
    """The text of a Python module with the contracts that the files declare.

    Errors: ProtoError, also if protobuf's compiler is not there.
    """
    known = frozenset(f"{_KNOWN_PREFIX}{name}" for name in _WELL_KNOWN)
    return _Module(ProtoFiles(files, include, known), [file.name for file in files]).text()


class _Module:
    """The module as it is written; names are those of the descriptor, ".package.Outer.Inner"."""

    def __init__(self, compiled: ProtoFiles, sources: Sequence[str]) -> None:
        self._compiled = compiled
        self._sources = sources
        self._named: dict[str, _Named] = {}
        self._used: set[str] = set()
        self._names = set(_ORIGINS) | set(ALIASES) | _BUILTINS
        for file in compiled.files:
            prefix = f".{file.package}" if file.package else ""
            comments = comments_of(file)
            for number, message in enumerate(file.message_type):
                self._collect(message, prefix, "", (4, number), comments)
            for number, enum in enumerate(file.enum_type):
                self._add(enum, f"{prefix}.{enum.name}", enum.name, comments.get((5, number), ""))

    def text(self) -> str:
        in_order = sorted(self._named.values(), key=lambda each: not _is_enum(each))
        blocks = [self._class(each) for each in in_order if not _is_map(each)]
        services = [
            self._service(file, number, service)
            for file in self._compiled.named
            for number, service in enumerate(file.service)
            if service.method  # without one it is no contract
        ]
        if not services:
            raise ProtoError(f"{', '.join(self._sources)} declares no service with a method")
        blocks += services
        head = [f'"""Contracts of {", ".join(self._sources)}, by `mrpc schema import`."""', ""]
        head += ["from __future__ import annotations", ""]
        aliases = [
            line
            for name, meaning in ALIASES.items()
            if self._uses(name, "Annotated", "Field", "TypeAlias")
            for line in [f"{name}: TypeAlias = {meaning}"]
        ]
        body = "\n\n\n".join("\n".join(block) for block in blocks)
        middle = ["", *aliases] if aliases else []
        return "\n".join([*head, *self._imports(), *middle]) + "\n\n\n" + body + "\n"

    def _collect(
        self, message: Any, prefix: str, outer: str, path: tuple[int, ...], comments: Any
    ) -> None:
        full = f"{prefix}.{message.name}"
        self._add(message, full, outer + message.name, comments.get(path, ""))
        for number, inner in enumerate(message.nested_type):
            self._collect(inner, full, outer + message.name, (*path, 3, number), comments)
        for number, enum in enumerate(message.enum_type):
            comment = comments.get((*path, 4, number), "")
            self._add(enum, f"{full}.{enum.name}", outer + message.name + enum.name, comment)

    def _add(self, descriptor: Any, full: str, name: str, comment: str) -> None:
        if full not in self._compiled.wanted:
            return
        free = _unused(_python(name), self._names)
        self._names.add(free)
        self._named[full] = _Named(free, full, descriptor, comment)

    def _class(self, named: _Named) -> list[str]:
        descriptor = named.descriptor
        if _is_enum(named):
            self._used.add("IntEnum")
            lines = [f"class {named.python}(IntEnum):", *_doc(named.comment, named.python), ""]
            return [*lines, *(f"    {_member(v.name)} = {v.number}" for v in descriptor.value)]
        self._used.add("dataclass")
        lines = ["@dataclass(kw_only=True, slots=True)", f"class {named.python}:"]
        choices = _choices(descriptor)
        lines += _doc("\n".join(filter(None, [named.comment, *choices])), named.python)
        taken = set(self._names)  # these would hide types from the hints of their own class
        fields = [line for each in descriptor.field for line in self._field(named, each, taken)]
        return [*lines, "", *fields] if fields else lines

    def _field(self, owner: _Named, field: Any, taken: set[str]) -> list[str]:
        name = _unused(_python(field.name), taken)
        taken.add(name)
        annotation, default = self._typed(owner, field)
        if default is None:
            return [f"    {name}: {annotation}"]
        line = f"    {name}: {annotation} = {default}"
        if len(line) <= WIDTH:
            return [line]
        if default.startswith("field("):
            argument = default.removeprefix("field(").removesuffix(")")
            return [f"    {name}: {annotation} = field(", f"        {argument},", "    )"]
        return [line]

    def _typed(self, owner: _Named, field: Any) -> tuple[str, str | None]:
        """Annotation and default of a field; one that is required has none."""
        if field.label == _REPEATED:
            named = self._named.get(field.type_name)
            if named is not None and _is_map(named):
                key, value = named.descriptor.field
                annotation = f"dict[{self._single(key)[0]}, {self._single(value)[0]}]"
            else:
                annotation = f"list[{self._single(field)[0]}]"
            self._used.add("field")
            return annotation, f"field(default_factory={annotation.partition('[')[0]})"
        annotation, default = self._single(field)
        meant = self._compiled.field(owner.full, field.name)
        if getattr(meant, "is_required", field.label == _REQUIRED):
            return annotation, None
        if meant.has_default_value:
            return annotation, self._default(field, meant.default_value)
        if meant.has_presence:
            if not annotation.endswith("None") and annotation != "Any":
                annotation = f"{annotation} | None"
            return annotation, "None"
        return annotation, default

    def _default(self, field: Any, value: Any) -> str:
        if field.type != _ENUM:
            return _literal(value)
        enum = self._named[field.type_name]
        (member, *_) = [each for each in enum.descriptor.value if each.number == value]
        return f"{enum.python}.{_member(member.name)}"

    def _single(self, field: Any) -> tuple[str, str]:
        if field.type not in (*_MESSAGES, _ENUM):
            annotation, default = _SCALARS[field.type]
            self._used.add(annotation)
            return annotation, default
        empty = f"{_KNOWN_PREFIX}Empty"  # a field that is set, unlike a result that is none
        known = f"{_KNOWN_PREFIX}Struct" if field.type_name == empty else field.type_name
        annotation = self._reference(known)
        if field.type in _MESSAGES:
            return annotation, "None"
        values = self._named[field.type_name].descriptor.value
        return annotation, f"{annotation}.{_member(values[0].name)}"

    def _reference(self, full: str) -> str:
        if full in self._named:
            return self._named[full].python
        annotation = _WELL_KNOWN[full.removeprefix(_KNOWN_PREFIX)]
        self._used.update(re.findall(r"\w+", annotation))
        return annotation

    def _service(self, file: Any, number: int, service: Any) -> list[str]:
        comments = comments_of(file)
        self._used |= {"rpc", "service"}
        full = f"{file.package}.{service.name}" if file.package else service.name
        name = _unused(_python(service.name), self._names)
        self._names.add(name)
        lines = [f'@service("{full}")', f"class {name}:"]
        lines += _doc(comments.get((6, number), ""), full)
        types = {t for each in service.method for t in (each.input_type, each.output_type)}
        taken = {"rpc"}  # it would hide the decorator, and these the types
        taken.update(*(re.findall(r"\w+", self._reference(each)) for each in types))
        for index, method in enumerate(service.method):
            comment = comments.get((6, number, 2, index), "")
            free = _unused(_python(_snake(method.name)), taken)  # Get and get are two
            taken.add(free)
            lines += ["", *self._method(method, free, comment)]
        return lines

    def _method(self, method: Any, name: str, comment: str) -> list[str]:
        takes, gives = self._reference(method.input_type), self._reference(method.output_type)
        arguments = ["self"]
        if method.client_streaming:
            arguments.append(f"requests: AsyncIterator[{takes}]")
        elif takes != "None":
            arguments.append(f"request: {takes}")
        keyword_ = "async def"
        if method.server_streaming:
            keyword_, gives = "def", f"AsyncIterator[{gives}]"
        if method.client_streaming or method.server_streaming:
            self._used.add("AsyncIterator")
        lines = [f"    {keyword_} {name}({', '.join(arguments)}) -> {gives}:"]
        if len(lines[0]) > WIDTH:
            each = [f"        {argument}," for argument in arguments]
            lines = [f"    {keyword_} {name}(", *each, f"    ) -> {gives}:"]
        body = [f"    {line}".rstrip() for line in _doc(comment, method.name)]
        return ["    @rpc", *lines, *body, "        raise NotImplementedError"]

    def _uses(self, name: str, *with_it: str) -> bool:
        if name in self._used:
            self._used.update(with_it)
            return True
        return False

    def _imports(self) -> list[str]:
        by_origin: dict[str, list[str]] = {}
        for name in sorted(self._used & _ORIGINS.keys(), key=_import_order):
            by_origin.setdefault(_ORIGINS[name], []).append(name)
        groups: list[list[str]] = [[], [], []]
        for origin in sorted(by_origin):
            group = 0 if origin in _STANDARD else 1
            groups[group].append(f"from {origin} import {', '.join(by_origin[origin])}")
        groups[1].sort()
        return [*groups[0], *([""] if groups[0] and groups[1] else []), *groups[1]]


def _import_order(name: str) -> tuple[bool, str]:
    """Classes before functions, as ruff sorts them."""
    return name[0].islower(), name


def _is_enum(named: _Named) -> bool:
    return hasattr(named.descriptor, "value")


def _is_map(named: _Named) -> bool:
    return getattr(named.descriptor.options, "map_entry", False) is True


def _choices(message: Any) -> Iterable[str]:
    """A sentence for each `oneof`, of which a dataclass knows nothing."""
    for number, one_of in enumerate(message.oneof_decl):
        names = [
            _python(field.name)
            for field in message.field
            if field.HasField("oneof_index")
            and field.oneof_index == number
            and not field.proto3_optional
        ]
        if names:
            yield f"At most one of {', '.join(names)} is set ({one_of.name})."


def _doc(comment: str, name: str) -> list[str]:
    """A docstring of one line or more, indented once."""
    text = comment.replace("\\", "\\\\").replace('"""', "'''")
    lines = [line.strip() for line in text.strip().splitlines()] or [f"{name} of the .proto file."]
    if lines[-1].endswith('"'):
        lines[-1] += "."
    if len(lines) == 1 and len(lines[0]) <= WIDTH - 14:
        return [f'    """{lines[0]}"""']
    return [f'    """{lines[0]}', *(f"    {line}".rstrip() for line in lines[1:]), '    """']


def _python(name: str) -> str:
    name = name.lstrip("_") or name if name.startswith("__") else name  # it would be mangled
    return f"{name}_" if keyword.iskeyword(name) else name


def _unused(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _literal(value: Any) -> str:
    """As ruff would have it, whose quotes are double."""
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    text = repr(value)
    return text.replace("'", '"') if text.endswith("'") and '"' not in text else text


def _member(name: str) -> str:
    """The name of an enumeration's member, which does not travel."""
    is_taken = name.startswith("_") or name in ("mro", "name", "value") or hasattr(int, name)
    return f"{name.lstrip('_')}_" if is_taken else _python(name)


def _snake(name: str) -> str:
    partly = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", partly).lower()
