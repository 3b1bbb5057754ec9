"""How a field travels besides its type: its name, its default, and whether it is left out.

Reads the fields of pydantic, of dataclasses and of Structs; knows no types.
"""

import dataclasses
import sys
import types
import typing
from collections.abc import Sequence
from typing import Any, Final

import pydantic
import pydantic_core
import typing_extensions
from pydantic.fields import FieldInfo

from idl.annotated import jsonable
from idl.schema import SchemaError
from idl.shapes import Member, Shape, canonical

WRAPPERS: Final = (
    typing.Required, typing.NotRequired, typing.Final, typing.ClassVar,
    typing_extensions.ReadOnly, typing_extensions.Required, typing_extensions.NotRequired,
)  # fmt: skip

_AS_FAR_AS_KNOWN: Final = typing_extensions.Format.FORWARDREF
_INIT_VAR: Final[Any] = vars(dataclasses)["_FIELD_INITVAR"]


def member_of(name: str, shape: Shape, field: Any) -> Member:
    """Of a field of pydantic, of a dataclass or of a Struct, which agree on two attributes."""
    return Member(name, shape, _is_required(field), _default_of(field))


def annotated_fields(hint: Any) -> list[FieldInfo]:
    """What `Field(...)` says in an annotation, also of a class that is not pydantic's."""
    while typing.get_origin(hint) in WRAPPERS:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) is not typing.Annotated:
        return []
    within, *metadata = typing.get_args(hint)
    return annotated_fields(within) + [each for each in metadata if isinstance(each, FieldInfo)]


def settled(cls: type, member: Member, fields: Sequence[FieldInfo]) -> Member:
    """The member under the name that travels, and whether it is written.

    Errors: SchemaError for one that is not read as it is written.
    """
    name = _alias_of(cls, member.name, fields)
    is_excluded = _said(fields, "exclude") is True
    may_be_excluded = _said(fields, "exclude_if") is not None
    if member.required and (is_excluded or may_be_excluded):
        raise SchemaError(unwritten(f"{cls.__name__}.{member.name}"))
    return dataclasses.replace(
        member,
        name=name,
        may_be_absent=member.may_be_absent or may_be_excluded,
        is_only_read=member.is_only_read or is_excluded,
    )


def unwritten(where: str) -> str:
    """The sentence about a field that is left out, and has to be there."""
    return f"{where} is needed by who reads it, and not written: give it a default"


def given_or_made(cls: type, member: Member, *, is_given: bool) -> Member:
    """Of a dataclass: an InitVar is read and not written, and what is made anew only written.

    Errors: SchemaError.
    """
    if not is_given:
        return dataclasses.replace(member, required=False, default="computed", is_only_sent=True)
    if member.required:
        raise SchemaError(unwritten(f"{cls.__name__}.{member.name}"))
    return dataclasses.replace(member, is_only_read=True)


def init_fields(cls: Any) -> dict[str, Any]:
    """Those that a dataclass is made from, its InitVars among them."""
    every: dict[str, Any] = cls.__dataclass_fields__
    kept = {each.name for each in dataclasses.fields(cls) if each.init}
    return {
        name: each
        for name, each in every.items()
        if name in kept or each._field_type is _INIT_VAR  # noqa: SLF001 (nothing else says it)
    }


def unknown_items(cls: Any) -> tuple[bool, Any]:
    """Whether a TypedDict has no other items, and of what type they are if it says so (PEP 728)."""
    own: dict[str, Any] = vars(typing.get_origin(cls) or cls)
    kind = own.get("__extra_items__", typing_extensions.NoExtraItems)
    if own.get("__closed__") is not None:
        return own["__closed__"] is True, None
    if kind is not typing_extensions.NoExtraItems:
        if typing.get_origin(kind) is typing_extensions.ReadOnly:
            kind = typing.get_args(kind)[0]
        is_never = kind in (typing.Never, typing.NoReturn, typing_extensions.Never)
        return is_never, None if is_never else kind
    for base in typing_extensions.get_original_bases(typing.get_origin(cls) or cls):
        if typing_extensions.is_typeddict(typing.get_origin(base) or base):
            return unknown_items(base)
    return False, None


def extra_of(model: type) -> Any:
    """The type of what a model of pydantic's takes besides its fields."""
    for base in model.__mro__[: model.__mro__.index(pydantic.BaseModel)]:
        hint = typing_extensions.get_annotations(base, format=_AS_FAR_AS_KNOWN).get(
            "__pydantic_extra__"
        )
        if hint is not None:
            named = types.SimpleNamespace(__annotations__={"it": hint})
            hint = typing.get_type_hints(named, vars(sys.modules[base.__module__]))["it"]
            return typing.get_args(hint)[1]
    return Any


def _alias_of(cls: type, name: str, fields: Sequence[FieldInfo]) -> str:
    alias: str = _said(fields, "alias") or name
    read = _said(fields, "validation_alias") or alias
    written: str = _said(fields, "serialization_alias") or alias
    if _said(fields, "exclude") is True:
        return read if isinstance(read, str) else name
    config: Any = getattr(cls, "model_config", {})
    is_by_name = bool(config.get("validate_by_name") or config.get("populate_by_name"))
    if read != written and not (is_by_name and written == name):
        raise SchemaError(f"{cls.__name__}.{name} is written as {written!r} but read as {read!r}")
    return written


def _said(fields: Sequence[FieldInfo], what: str) -> Any:
    """What the last one says that says something."""
    found = [getattr(each, what, None) for each in fields]
    return next((each for each in reversed(found) if each is not None), None)


def _is_required(field: Any) -> bool:
    has_factory = field.default_factory is not None and not _is_missing(field.default_factory)
    return _is_missing(field.default) and not has_factory


def _is_missing(value: Any) -> bool:
    if value is dataclasses.MISSING or value is pydantic_core.PydanticUndefined:
        return True
    return value is ... or repr(value) == "NODEFAULT"  # of msgspec, which need not be there


def _default_of(field: Any) -> str:
    if _is_required(field):
        return ""
    factory = field.default_factory
    if factory is None or _is_missing(factory):
        return canonical(jsonable(field.default))
    return canonical(jsonable(factory())) if factory in (list, dict, set, tuple) else "computed"
