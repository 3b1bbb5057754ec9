"""From type hints to shapes: the only place that knows pydantic, msgspec and dataclasses by kind.

What no shape can say (validators, serializers of one's own) is left out: two contracts that differ
only there have the same schema.
"""

import contextlib
import dataclasses
import datetime as dt
import decimal
import enum
import inspect
import types
import typing
import uuid
from collections import abc, deque
from collections.abc import Callable, Generator
from typing import Any, Final, TypeAlias, cast

import msgspec
import pydantic
import typing_extensions
from pydantic.fields import FieldInfo

from idl.annotated import chosen, flags, jsonable, limited, literal, union
from idl.configs import DEFAULTS, OF_MSGSPEC, Settings, settings_of
from idl.generics import left_open
from idl.members import (
    WRAPPERS,
    annotated_fields,
    extra_of,
    given_or_made,
    init_fields,
    member_of,
    settled,
    unknown_items,
)
from idl.schema import SchemaError, spelled
from idl.shapes import Codec, Definition, Member, Shape, canonical
from idl.structs import holds_struct

ANY: Final = Shape("any")
_SCALARS: Final[dict[object, str]] = {
    type(None): "none", None: "none", Any: "any", object: "any", inspect.Parameter.empty: "any",
    bool: "bool", int: "int", float: "float", str: "str",
    bytes: "bytes", bytearray: "bytes", memoryview: "bytes",
    dt.datetime: "datetime", dt.date: "date", dt.time: "time", dt.timedelta: "timedelta",
    decimal.Decimal: "decimal", uuid.UUID: "uuid",
}  # fmt: skip
_LISTS: Final = (list, deque, abc.Sequence, abc.MutableSequence, abc.Iterable, abc.Collection)
_SETS: Final = (set, frozenset, abc.Set, abc.MutableSet)
_DICTS: Final = (dict, abc.Mapping, abc.MutableMapping)


_Reader: TypeAlias = Callable[[type, dict[Any, Any]], Definition]


class Describer:
    """Makes shapes, and keeps the definitions that they name."""

    def __init__(self) -> None:
        self.definitions: dict[str, Definition] = {}
        self._names: dict[object, str] = {}
        self._walked: list[type] = []  # the classes whose fields are being read, outermost first
        self._aliases: list[object] = []
        self._settings = DEFAULTS  # of the class whose fields are being read
        self._twins: dict[object, list[str]] = {}

    def outermost(self, annotation: Any, where: str) -> Shape:
        """The shape of an argument or result, with the codec that writes it.

        Errors: SchemaError.
        """
        codec = _codec_of(annotation)
        self._settings = OF_MSGSPEC if codec == "struct" else DEFAULTS
        try:
            shape = self.shape(annotation)
        except SchemaError as error:
            raise SchemaError(f"{where}: {error}") from error
        finally:
            self._settings = DEFAULTS
        return dataclasses.replace(shape, codec=codec)

    def shape(self, annotation: Any, types_of: dict[Any, Any] | None = None) -> Shape:
        """The shape of any type; `types_of` says what its type variables stand for."""
        scalar = _SCALARS.get(annotation) if _is_hashable(annotation) else None
        if scalar is not None:
            return self._settings.limited(Shape(scalar))
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if _is_empty_tuple(annotation):
            return Shape("tuple")
        if isinstance(annotation, typing.TypeVar):
            return self.shape((types_of or {}).get(annotation, left_open(annotation)))
        if origin is typing.Annotated:
            inner = self.shape(arguments[0], types_of)
            return limited(inner, arguments[1:], by_msgspec=self._settings.by_msgspec)
        if origin in WRAPPERS:
            return self.shape(arguments[0], types_of)
        if origin is typing.Union or origin is types.UnionType:
            return union([self.shape(each, types_of) for each in arguments])
        if origin is typing.Literal:
            return literal(arguments)
        if isinstance(annotation, typing.NewType):
            return self.shape(annotation.__supertype__)
        if hasattr(annotation, "__value__"):
            return self._alias(annotation)
        if hasattr(annotation, "type_ref"):
            return self._recursive(annotation.type_ref)
        container = self._container(origin or annotation, arguments, types_of)
        return container or self._named(annotation, origin, arguments, types_of)

    def error(self, kind: type[Exception]) -> str:
        """The name of the definition of a declared exception."""
        code: str = getattr(getattr(kind, "code", None), "name", "")
        members: list[Member] = []
        if hasattr(kind, "__dataclass_fields__"):
            members = self._dataclass_members(kind, {})
        definition = Definition("error", kind.__name__, tuple(members), code=code)
        self.definitions[f"error {kind.__name__}"] = definition
        return kind.__name__

    def _alias(self, alias: Any) -> Shape:
        if alias in self._aliases:
            raise SchemaError(f"the type {alias} names itself: make a class of it")
        self._aliases.append(alias)
        try:
            return self.shape(alias.__value__)
        finally:
            self._aliases.pop()

    def _recursive(self, type_ref: str) -> Shape:
        """What pydantic leaves where a generic model names itself."""
        for cls in reversed(self._walked):
            if cls.__name__.partition("[")[0] in type_ref:
                return Shape("ref", name=self._names[cls])
        raise SchemaError(f"{type_ref} is unknown")

    def _container(
        self, origin: Any, arguments: tuple[Any, ...], types_of: dict[Any, Any] | None
    ) -> Shape | None:
        inner = [self.shape(each, types_of) for each in arguments if each is not ...]
        if origin in _LISTS:
            return Shape("list", tuple(inner[:1]) or (ANY,))
        if origin in _SETS:
            return Shape("set", tuple(inner[:1]) or (ANY,))
        if origin in _DICTS:
            return Shape("dict", tuple(inner) or (ANY, ANY))
        if origin is tuple:
            if ... in arguments or not arguments:
                return Shape("list", tuple(inner[:1]) or (ANY,))
            return Shape("tuple", tuple(inner))
        return None

    def _named(
        self,
        annotation: Any,
        origin: Any,
        arguments: tuple[Any, ...],
        types_of: dict[Any, Any] | None,
    ) -> Shape:
        cls = origin or annotation
        if not isinstance(cls, type):
            raise SchemaError(f"{annotation!r} has no schema")
        arguments = tuple((types_of or {}).get(each, each) for each in arguments)
        if issubclass(cls, enum.Flag):
            return flags(cls)
        settings = DEFAULTS if issubclass(cls, enum.Enum) else settings_of(cls, self._settings)
        is_of_its_own = settings in (DEFAULTS, settings_of(cls, DEFAULTS))
        parts = (*arguments, *(() if is_of_its_own else (settings,)))
        key: object = (cls, parts) if parts else cls
        if key not in self._names:
            reader = self._reader_of(cls)
            if reader is None:
                return Shape("other", name=cls.__name__)
            if issubclass(cls, pydantic.RootModel):
                return self._of_field(cls.model_fields["root"])
            with self._within(cls, settings):
                self._define(key, cls, arguments, reader)
        return Shape("ref", name=self._names[key])

    def _define(
        self, key: object, cls: type, arguments: tuple[Any, ...], reader: "_Reader"
    ) -> None:
        name = cls.__name__
        if arguments:
            name += f"[{', '.join(spelled(each) for each in arguments)}]"
        free, number = name, 2
        while free in self._names.values():  # another class of the same name
            free, number = f"{name} {number}", number + 1
        self._names[key] = free
        parameters = getattr(cls, "__parameters__", ())
        definition = reader(cls, dict(zip(parameters, arguments, strict=False)))
        twins = self._twins.setdefault((cls, arguments), [])
        for twin in twins:  # as read by the other codec, or in another class
            if self.definitions.get(twin) == dataclasses.replace(definition, name=twin):
                self._names[key] = twin
                return
        twins.append(free)
        self.definitions[free] = dataclasses.replace(definition, name=free)

    @contextlib.contextmanager
    def _within(self, cls: type, settings: Settings) -> Generator[None]:
        outer, self._settings = self._settings, settings
        self._walked.append(cls)
        try:
            yield
        finally:
            self._walked.pop()
            self._settings = outer

    def _reader_of(self, cls: type) -> "_Reader | None":
        if issubclass(cls, enum.Enum):
            return self._enum
        if hasattr(cls, "__pydantic_fields__"):
            return self._model
        if hasattr(cls, "__struct_fields__"):
            return self._struct
        if dataclasses.is_dataclass(cls):
            return self._dataclass
        if issubclass(cls, tuple) and hasattr(cls, "_fields"):
            return self._named_tuple
        return self._typed_dict if typing_extensions.is_typeddict(cls) else None

    def _enum(self, cls: type, _: dict[Any, Any]) -> Definition:
        members = cast(type[enum.Enum], cls).__members__.items()
        values = tuple((name, chosen(member.value)) for name, member in members)
        return Definition("enum", cls.__name__, values=values)

    def _model(self, cls: type, _: dict[Any, Any]) -> Definition:
        _complete(cls)
        fields: dict[str, FieldInfo] = getattr(cls, "__pydantic_fields__", {})
        is_model = issubclass(cls, pydantic.BaseModel)
        members: dict[str, Member] = {}
        for name, field in sorted(fields.items()):
            member = member_of(name, self._of_field(field), field)
            if not is_model and (field.init is False or field.init_var):
                member = given_or_made(cls, member, is_given=field.init_var is True)
            members[name] = settled(cls, member, [field])
        is_open = is_model and self._settings.extra == "allow"
        unknown = self.shape(extra_of(cls)) if is_open else ANY
        return self._record(tuple(members[name] for name in fields), is_model, unknown)

    def _record(
        self,
        members: tuple[Member, ...],
        keeps_unknown: bool = False,
        unknown: Shape = ANY,
        extra: str = "",
    ) -> Definition:
        """`extra` in place of what the configuration says of unknown fields."""
        extra = extra or self._settings.extra
        return Definition(
            "record",
            "",
            members,
            refuses_unknown=extra == "forbid",
            sends_unknown=keeps_unknown and extra == "allow",
            unknown=None if unknown == ANY else unknown,
        )

    def _of_field(self, field: FieldInfo) -> Shape:
        return limited(self.shape(field.annotation), [field])

    def _dataclass(self, cls: type, types_of: dict[Any, Any]) -> Definition:
        members = self._dataclass_members(cls, types_of)
        return self._record((*members, *self._computed_members(cls, types_of)))

    def _dataclass_members(self, cls: Any, types_of: dict[Any, Any]) -> list[Member]:
        hints, given = _hints(cls), init_fields(cls)
        members: dict[str, Member] = {}
        for name, field in sorted(given.items()):
            is_given = isinstance(hints[name], dataclasses.InitVar)
            hint: Any = hints[name].type if is_given else hints[name]
            member = member_of(name, self.shape(hint, types_of), field)
            if is_given:
                member = given_or_made(cls, member, is_given=True)
            members[name] = self._settled(cls, member, hint)
        return [members[name] for name in given]

    def _computed_members(self, cls: Any, types_of: dict[Any, Any]) -> list[Member]:
        """Those that a dataclass sets itself, unless msgspec makes it."""
        hints = _hints(cls)
        members = [
            member_of(each.name, self.shape(hints[each.name], types_of), each)
            for each in dataclasses.fields(cls)
            if not each.init
        ]
        if self._settings.by_msgspec:
            return members
        return [given_or_made(cls, each, is_given=False) for each in members]

    def _settled(self, cls: type, member: Member, hint: Any) -> Member:
        return member if self._settings.by_msgspec else settled(cls, member, annotated_fields(hint))

    def _struct(self, cls: type, types_of: dict[Any, Any]) -> Definition:
        structs: Any = msgspec.structs
        config: Any = getattr(cls, "__struct_config__")  # noqa: B009 (a type has no such attribute)
        members: list[Member] = []
        for field in structs.fields(cls):
            member = member_of(field.encode_name, self.shape(field.type, types_of), field)
            absent = config.omit_defaults and not member.required
            members.append(dataclasses.replace(member, may_be_absent=absent))
        if config.tag is not None:
            tag = Shape("literal", values=(config.tag,))
            members.insert(0, Member(config.tag_field or "type", tag))
        is_array = config.array_like
        return Definition(
            "record",
            "",
            tuple(members),
            layout="array" if is_array else "map",
            refuses_unknown=config.forbid_unknown_fields,
        )

    def _named_tuple(self, cls: Any, types_of: dict[Any, Any]) -> Definition:
        hints, defaults = _hints(cls), cls._field_defaults
        members = [
            Member(
                name,
                self.shape(hints.get(name, Any), types_of),
                name not in defaults,
                canonical(jsonable(defaults[name])) if name in defaults else "",
            )
            for name in cls._fields
        ]
        return Definition("record", "", tuple(members), layout="array", refuses_unknown=True)

    def _typed_dict(self, cls: Any, types_of: dict[Any, Any]) -> Definition:
        hints = _hints(cls)
        required: frozenset[str] = cls.__required_keys__
        members: dict[str, Member] = {}
        for name, hint in sorted(hints.items()):
            member = Member(
                name,
                self.shape(hint, types_of),
                name in required,
                "" if name in required else "absent",
                may_be_absent=name not in required,
            )
            members[name] = self._settled(cls, member, hint)
        is_closed, kind = unknown_items(cls)
        unknown = ANY if kind is None else self.shape(kind, types_of)
        extra = "forbid" if is_closed else "" if kind is None else "allow"
        if self._settings.by_msgspec:  # it reads those that are declared, and writes all there are
            extra, unknown = "allow" if extra == "allow" else "", ANY
        return self._record(tuple(members[name] for name in hints), True, unknown, extra)


def _codec_of(annotation: Any) -> Codec:
    if annotation is None or annotation is type(None):
        return "nothing"
    if annotation in (bytes, bytearray, memoryview):
        return "raw"
    return "struct" if holds_struct(annotation) else ""


def _is_empty_tuple(annotation: Any) -> bool:
    """Whether it is tuple[()]. A bare Tuple has no arguments, not even none."""
    return typing.get_origin(annotation) is tuple and getattr(annotation, "__args__", None) == ()


def _is_hashable(annotation: Any) -> bool:
    return getattr(annotation, "__hash__", None) is not None


def _complete(cls: type) -> None:
    """Resolves what pydantic could not when it made the class."""
    if getattr(cls, "__pydantic_complete__", True):
        return
    try:
        if issubclass(cls, pydantic.BaseModel):
            cls.model_rebuild()
        else:
            pydantic.dataclasses.rebuild_dataclass(cast(Any, cls))
    except (NameError, pydantic.errors.PydanticUserError) as error:
        raise SchemaError(f"{cls.__name__} is not fully defined: {error}") from error


def _hints(cls: Any) -> dict[str, Any]:
    try:
        return typing_extensions.get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise SchemaError(f"{cls.__name__} names {error.name!r}, which is not defined") from error
