"""Values of plain types, which msgspec writes and reads as pydantic does, and several times faster.

Plain are text, numbers, bytes, literals and enumerations of either text or integers, lists, tuples,
sets and dictionaries of these, TypedDicts, and dataclasses that have no say in how they are made.
Only what is exactly of such types is taken; whoever has pydantic's word is asked about all else.
"""

import dataclasses
import enum
import inspect
import itertools
import types
import typing
from abc import ABCMeta
from collections.abc import Callable, Sequence
from typing import Any, Final

import typing_extensions
from msgspec import MsgspecError, msgpack

from idl.members import unknown_items
from idl.packing import pack
from idl.schema import Parameter

TYPES_MAX: Final = 300  # in one value; classes within classes may be very many
_SCALARS: Final = (int, str, float, bool, bytes)
_KEYS: Final = (str, int)  # those of dictionaries
_UNIONS: Final = (typing.Union, types.UnionType)
_FACTORIES: Final = (list, dict, tuple, *_SCALARS)  # of defaults; no code of the user's runs
_SAYING: Final = (  # what classes have that are made in another way than field by field
    "__post_init__",
    "__pydantic_fields__",
    "__pydantic_config__",
    "__get_pydantic_core_schema__",
    "__get_validators__",
)
# Not whatever there is: between two steps a signal's handler may raise what is not for us.
UNREAD: Final = (MsgspecError, UnicodeDecodeError, RecursionError)
_UNWRITTEN: Final = (
    AttributeError, KeyError, MemoryError, MsgspecError, OverflowError, RecursionError, TypeError,
    ValueError,
)  # fmt: skip
_BARE: Final = (dict, typing.TypedDict, typing_extensions.TypedDict)  # what bases are at their end
_NO_MISSING: Final[Any] = vars(enum.Enum)["_missing_"].__func__


class Plain:
    """How values of one plain type are written and read."""

    __slots__ = ("_encode", "_is_exact", "decode")

    def __init__(self, is_exact: Callable[[object], bool], encode: Any, decode: Any) -> None:
        self._is_exact = is_exact
        self._encode: Callable[[object], bytes] = encode
        self.decode: Callable[[bytes], Any] = decode
        """Errors: those of `UNREAD` for bytes that are wrong, or that pydantic would take."""

    def encode(self, value: object) -> bytes | None:
        """The value's bytes; None if it is not all of the very types, or cannot be written."""
        try:
            return self._encode(value) if self._is_exact(value) else None
        except _UNWRITTEN:  # pydantic meets it again, and says what is wrong
            return None


def plain(annotation: Any) -> Plain | None:
    """None: it is not plain."""
    return _plain([("value", annotation)], lambda: annotation)


def plain_arguments(parameters: Sequence[Parameter]) -> Plain | None:
    """The same of a map of arguments by name, which is only written if all are given."""

    def arguments() -> Any:
        hints = {
            each.name: each.annotation if each.required else typing.NotRequired[each.annotation]
            for each in parameters
        }
        return typing.TypedDict("Arguments", hints)  # type: ignore[operator]

    values = [(f"value[{each.name!r}]", each.annotation) for each in parameters]
    return _plain(values, arguments)


def _plain(values: list[tuple[str, Any]], read: Callable[[], Any]) -> Plain | None:
    """`values` are expressions, each with its type; `read` gives the type of the whole."""
    test = _Test()
    try:
        written = " and ".join([test.of(hint, value) for value, hint in values])
        decoder = msgpack.Decoder(read())
    except (_NotPlainError, TypeError, ValueError, RuntimeError):  # msgspec's reasons are many
        return None
    return Plain(test.compiled(written), msgpack.Encoder().encode, decoder.decode)


class _NotPlainError(Exception):
    """A type that has to be left to pydantic."""


class _Test:
    """Writes the test that a value is all of the very types, as one expression of Python.

    Called field by field it would take longer than what it saves.
    """

    def __init__(self) -> None:
        self._names: dict[str, object] = {}
        self._within: list[type] = []  # the classes that it is about just now
        self._numbers = itertools.count(1)

    def compiled(self, written: str) -> Callable[[object], bool]:
        test: Callable[[object], bool]
        test = eval(f"lambda value: {written}", self._names)  # noqa: S307 (names of fields)
        return test

    def of(self, hint: Any, value: str) -> str:
        """`value` is the expression to be tested. Errors: _NotPlainError."""
        hint = getattr(hint, "__supertype__", hint)  # of a NewType
        origin, parts = typing.get_origin(hint), typing.get_args(hint)
        if origin in _UNIONS:
            return self._optional(parts, value)
        if origin is list and len(parts) == 1:
            return f"({self._is(list, value)} and {self._each(parts[0], value)})"
        if origin in (set, frozenset) and len(parts) == 1:
            return f"({self._is(origin, value)} and {self._each(_scalar(parts[0]), value)})"
        if origin is dict and len(parts) == 2 and parts[0] in _KEYS:
            keys, entries = self._each(parts[0], value), self._each(parts[1], f"{value}.values()")
            return f"({self._is(dict, value)} and {keys} and {entries})"
        if origin is tuple and len(parts) == 2 and parts[1] is ...:
            return f"({self._is(tuple, value)} and {self._each(parts[0], value)})"
        if origin is tuple and parts:
            items = [self.of(part, f"{value}[{index}]") for index, part in enumerate(parts)]
            length = f"len({value}) == {len(items)}"
            return f"({' and '.join([self._is(tuple, value), length, *items])})"
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            return self._record(hint, value)
        if typing_extensions.is_typeddict(hint):
            return self._document(hint, value)
        return self._is(_scalar(hint), value)

    def _is(self, kind: type, value: str) -> str:
        return f"type({value}) is {self._named(kind)}"

    def _named(self, kind: object) -> str:
        if len(self._names) >= TYPES_MAX:
            raise _NotPlainError(kind)
        name = f"kind_{next(self._numbers)}"
        self._names[name] = kind
        return name

    def _optional(self, parts: tuple[Any, ...], value: str) -> str:
        given = [part for part in parts if part is not types.NoneType]
        if len(given) != 1:
            raise _NotPlainError(parts)  # which of them it is, pydantic may tell in another way
        return f"({value} is None or {self.of(given[0], value)})"

    def _each(self, hint: Any, values: str) -> str:
        hint = getattr(hint, "__supertype__", hint)
        if _is_scalar(hint):
            return f"set(map(type, {values})) <= {{{self._named(_scalar(hint))}}}"
        item = f"item_{next(self._numbers)}"
        return f"all([{self.of(hint, item)} for {item} in {values}])"

    def _record(self, cls: type, value: str) -> str:
        hints = self._hints_of(cls, _has_a_say(cls))
        if any(isinstance(hint, dataclasses.InitVar) for hint in hints.values()):
            raise _NotPlainError(cls)
        tests = [self._is(cls, value)]
        self._within.append(cls)
        for field in dataclasses.fields(cls):
            if not field.init or field.metadata or field.name.startswith("_"):
                raise _NotPlainError(field)
            kept = inspect.getattr_static(cls, field.name, None)
            if hasattr(type(kept), "__set__") and not isinstance(kept, types.MemberDescriptorType):
                raise _NotPlainError(field)  # a descriptor of the class keeps it
            factory = field.default_factory
            made = typing.get_origin(factory) or factory
            if made is not dataclasses.MISSING and made not in _FACTORIES:
                raise _NotPlainError(field)
            hash(field.default)  # TypeError: pydantic makes a new one for each value
            tests.append(self.of(hints[field.name], f"{value}.{field.name}"))
        self._within.pop()
        return f"({' and '.join(tests)})"

    def _document(self, cls: Any, value: str) -> str:
        hints = self._hints_of(cls, not _is_bare(cls))
        tests = [self._is(dict, value)]
        self._within.append(cls)
        for name, hint in hints.items():
            wrapper = typing.get_origin(hint)
            is_optional = name in cls.__optional_keys__
            if wrapper in (typing.Required, typing.NotRequired):
                is_optional = wrapper is typing.NotRequired
                (hint,) = typing.get_args(hint)
            test = self.of(hint, f"{value}[{name!r}]")
            tests.append(f"({name!r} not in {value} or {test})" if is_optional else test)
        self._within.pop()
        tests.append(f"{value}.keys() <= {self._named(frozenset(hints))}")
        return f"({' and '.join(tests)})"

    def _hints_of(self, cls: type, is_unusual: bool) -> dict[str, Any]:
        """Errors: _NotPlainError."""
        if is_unusual or cls in self._within:
            raise _NotPlainError(cls)
        try:
            return typing.get_type_hints(cls, include_extras=True)
        except Exception as error:
            raise _NotPlainError(cls) from error


def _is_scalar(hint: Any) -> bool:
    is_class = isinstance(hint, type) and not typing.get_args(hint)
    is_record = dataclasses.is_dataclass(hint) or typing_extensions.is_typeddict(hint)
    return typing.get_origin(hint) is typing.Literal or (is_class and not is_record)


def _scalar(hint: Any) -> type:
    """Errors: _NotPlainError."""
    if typing.get_origin(hint) is typing.Literal:
        kinds = set(map(type, typing.get_args(hint)))
        hint = kinds.pop() if kinds in ({str}, {int}) else None
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        _check_enumeration(hint)
    elif hint not in _SCALARS:
        raise _NotPlainError(hint)
    scalar: type = hint
    return scalar


def _has_a_say(cls: Any) -> bool:
    """Whether its values are not just made of their fields, or what it says is for pydantic."""
    is_usual = (
        type(cls) in (type, ABCMeta)
        and cls.__new__ is object.__new__
        and cls.__getattribute__ is object.__getattribute__
        and (cls.__dataclass_params__.frozen or cls.__setattr__ is object.__setattr__)
    )
    if not is_usual or any(hasattr(cls, name) for name in _SAYING):
        return True
    own = (value for base in cls.__mro__ for value in vars(base).values())
    return any(type(value).__module__.partition(".")[0] == "pydantic" for value in own)


def _is_bare(cls: type) -> bool:
    """Whether a TypedDict, with those that it inherits, says nothing but its items."""
    return (
        not any(hasattr(cls, name) for name in _SAYING)
        and unknown_items(cls) == (False, None)
        and all(
            base in _BARE or (typing_extensions.is_typeddict(base) and _is_bare(base))
            for base in typing_extensions.get_original_bases(cls)
        )
    )


def _check_enumeration(cls: type[enum.Enum]) -> None:
    """Errors: _NotPlainError."""
    values = [member.value for member in cls]
    kinds = set(map(type, values))
    is_usual = (
        kinds in ({int}, {str})
        and cls._missing_.__func__ is _NO_MISSING  # type: ignore[attr-defined]
        and not any(hasattr(cls, name) for name in _SAYING)
        and all(pack(member) == pack(member.value) for member in cls)
    )
    if not is_usual:
        raise _NotPlainError(cls)
