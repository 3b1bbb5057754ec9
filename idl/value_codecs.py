"""A value of one type as bytes: which codec writes and reads it, and what is no value of it.

A lone `bytes`, `bytearray` or `memoryview` is its own payload, with no codec at all; None is none.
All else is msgpack. Values are checked on both sides.
"""

import re
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
import pydantic

from idl.buffers import RawCodec, flat, is_raw
from idl.core_schemas import check_aliases, check_values, is_strict
from idl.packing import CodecError, pack, pack_native, unpack, unpacker
from idl.plain import UNREAD, Plain, plain
from idl.raised import class_name, is_of, said, shown
from idl.schema import SchemaError, spelled
from idl.strict_reading import plain_validator
from idl.structs import foreign_in, holds_struct

PROBLEMS_MAX: Final = 3  # that one sentence lists
SCALARS: Final = (int, str, float, bool)
_TEXT: Final = frozenset((str,))
OPEN: Final = {list: (Any,), dict: (str, Any)}
_EXPECTED: Final = re.compile(r"UnexpectedValue\((.*)\)")  # pydantic's words for a wrong field


class ValueCodec:
    """A value of one type, through pydantic, or through msgspec where its Structs occur."""

    __slots__ = ("_read", "_scalar", "_type", "_write")

    def __init__(self, annotation: Any) -> None:
        self._type = annotation
        self._scalar = annotation if annotation in SCALARS else None
        try:
            adapter = pydantic.TypeAdapter[Any](annotation)
        except Exception as error:  # pydantic's, and what a hook of the type's own raises
            why = said(error).partition(". Set `arbitrary_types_allowed")[0]  # which is of no use
            raise SchemaError(f"{annotation!r} has no codec: {why}") from error
        core_schema = adapter.core_schema
        check_aliases(core_schema)
        check_values(core_schema)
        self._write: Callable[..., object] = adapter.serializer.to_python
        self._read: Callable[[object], Any] = (
            plain_validator(core_schema)
            if is_strict(core_schema)
            else adapter.validator.validate_python
        )

    def dump(self, value: object) -> object:
        """The value as what `pack` takes."""
        if self._scalar is not None:
            if type(value) is not self._scalar and not _is_scalar(value, self._scalar):
                raise CodecError(f"must be {self._scalar.__name__}, not {shown(value)}")
            return value
        if value is None:
            self.load(None)  # pydantic would write it for any type
        try:
            return self._write(value, by_alias=True, round_trip=True, warnings="error")
        except Exception as error:  # also what a serializer of the user's raises
            raise CodecError(self._misfit(value, error)) from error

    def load(self, plain: object) -> Any:
        """The value from what `unpack` gave."""
        if type(plain) is self._scalar:
            return plain
        try:
            return self._read(plain)
        except pydantic.ValidationError as error:
            raise CodecError(_sentence(error)) from error
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            raise _refused(error) from error

    def _misfit(self, value: object, error: Exception) -> str:
        if isinstance(self._type, type) and not is_of(value, self._type):
            return f"must be {spelled(self._type)}, not {shown(value)}"
        found = _EXPECTED.search(text := said(error))
        return f"{shown(value)} is no {spelled(self._type)}: {found[1] if found else text}"

    def encode(self, value: object) -> bytes:
        return pack(self.dump(value))

    def decode(self, payload: bytes) -> Any:
        return self.load(unpack(payload))


class OpenCodec(ValueCodec):
    """`list[Any]` and `dict[str, Any]`, which pydantic goes through only where it has a part.

    What consists of msgpack's own types is the same before and after.
    """

    __slots__ = ("_container", "_decode")

    def __init__(self, annotation: Any) -> None:
        super().__init__(annotation)
        self._container: type = typing.get_origin(annotation)
        self._decode: Callable[[bytes], Any] = unpacker(annotation)

    def encode(self, value: object) -> bytes:
        container = type(value)
        if container is self._container:
            items: Any = value
            if container is list or _TEXT.issuperset(map(type, items)):
                try:
                    return pack_native(value)
                except Exception:  # noqa: BLE001, S110 (pydantic meets it again, and says it)
                    pass
        return super().encode(value)

    def decode(self, payload: bytes) -> Any:
        try:
            return self._decode(payload)
        except (*UNREAD, ValueError):  # pydantic may take it all the same, or says why not
            return super().decode(payload)


class PlainCodec(ValueCodec):
    """A value of a plain type: by msgspec where it is right, and through pydantic where not."""

    __slots__ = ("_plain",)

    def __init__(self, annotation: Any, form: Plain) -> None:
        super().__init__(annotation)
        self._plain = form

    def encode(self, value: object) -> bytes:
        packed = self._plain.encode(value)
        return super().encode(value) if packed is None else packed

    def decode(self, payload: bytes) -> Any:
        try:
            return self._plain.decode(payload)
        except UNREAD:  # pydantic may take it all the same, or says why not
            return super().decode(payload)


class StructCodec(ValueCodec):
    """A value of a type in which `msgspec.Struct`s occur, and nothing of pydantic's."""

    __slots__ = ("_decoder", "_encoder")

    def __init__(self, annotation: Any) -> None:
        self._type = annotation
        self._scalar = None
        self._encoder = msgspec.msgpack.Encoder()
        try:
            self._decoder = msgspec.msgpack.Decoder(annotation)
            foreign = foreign_in(annotation)
        except TypeError as error:
            raise SchemaError(f"{annotation!r} has no codec: {said(error)}") from error
        if foreign is not None:
            why = f"there are Structs in it, and msgspec cannot write {foreign.__name__}"
            raise SchemaError(f"{annotation!r} has no codec: {why}")

    def dump(self, value: object) -> object:
        try:
            plain: object = msgspec.to_builtins(value, builtin_types=(bytes, bytearray))
        except Exception as error:
            raise CodecError(f"{shown(value)} cannot be sent: {said(error)}") from error
        self.load(plain)
        return plain

    def load(self, plain: object) -> Any:
        try:
            return msgspec.convert(plain, self._type, builtin_types=(bytes, bytearray))
        except msgspec.MsgspecError as error:
            raise CodecError(said(error)) from error
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            raise _refused(error) from error

    def encode(self, value: object) -> bytes:
        try:
            encoded: bytes = self._encoder.encode(value)
        except Exception as error:
            raise CodecError(f"{shown(value)} cannot be sent: {said(error)}") from error
        kind = self._type
        if isinstance(kind, type) and type(value) is not kind and not is_of(value, kind):
            raise CodecError(f"must be {kind.__name__}, not {shown(value)}")
        return encoded

    def decode(self, payload: bytes) -> Any:
        try:
            return self._decoder.decode(payload)
        except UNREAD as error:
            raise CodecError(said(error)) from error
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            raise _refused(error) from error


class BufferCodec(ValueCodec):
    """`bytes`, `bytearray` and `memoryview` among other arguments."""

    __slots__ = ("_kind",)

    def __init__(self, annotation: Any) -> None:
        super().__init__(bytes)
        self._kind: Callable[[bytes], bytes | bytearray | memoryview] = annotation

    def dump(self, value: object) -> object:
        return bytes(flat(value))

    def load(self, plain: object) -> Any:
        return self._kind(plain if type(plain) is bytes else super().load(plain))


class IterableCodec(ValueCodec):
    """`Iterable[X]`: any one is sent, a generator too, and arrives as a list."""

    __slots__ = ()

    def __init__(self, annotation: Any) -> None:
        (item,) = typing.get_args(annotation) or (Any,)
        super().__init__(types.GenericAlias(list, (item,)))

    def dump(self, value: object) -> object:
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            raise CodecError(f"must be an iterable of items, not {shown(value)}")
        items: Iterable[object] = value
        return super().dump(items if isinstance(items, list) else list(items))


class NothingCodec:
    """None, which is an empty payload."""

    __slots__ = ()

    def encode(self, value: object) -> bytes:
        if value is not None:
            raise CodecError(f"must be None, not {shown(value)}")
        return b""

    def decode(self, payload: bytes) -> None:
        if payload:
            raise CodecError("a result came where the contract has none")


def compiled(annotation: Any, where: str) -> ValueCodec | RawCodec | NothingCodec:
    """The codec of a lone argument or of a result; `where` begins what is said of it.

    Errors: SchemaError.
    """
    if annotation is None or annotation is type(None):
        return NothingCodec()
    return RawCodec(annotation) if is_raw(annotation) else value_codec(annotation, where)


def value_codec(annotation: Any, where: str) -> ValueCodec:
    """The codec of one argument among others. Errors: as `compiled`."""
    if is_raw(annotation):
        return BufferCodec(annotation)
    if typing.get_origin(annotation) is Iterable:
        return IterableCodec(annotation)
    kind = ValueCodec
    container = typing.get_origin(annotation)
    if container in OPEN and typing.get_args(annotation) == OPEN[container]:
        kind = OpenCodec
    elif holds_struct(annotation):
        kind = StructCodec
    form = plain(annotation) if kind is ValueCodec else None
    try:
        return kind(annotation) if form is None else PlainCodec(annotation, form)
    except SchemaError as error:
        raise SchemaError(f"{where}: {error}") from error


def _is_scalar(value: object, scalar: type) -> bool:
    """Whether a value that is not exactly of this type may still pass for it."""
    kind = type(value)
    taken = (float, int) if scalar is float else scalar
    return issubclass(kind, taken) and not issubclass(kind, bool)


def _refused(error: BaseException) -> CodecError:
    """For what a validator of the user's raised that says no verdict."""
    return CodecError(f"its validation raised {class_name(error)}: {said(error)}")


def _sentence(error: pydantic.ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False)
    said = [
        f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}".removeprefix(": ")
        + f" (got {shown(problem['input'])})"
        for problem in problems[:PROBLEMS_MAX]
    ]
    more = len(problems) - len(said)
    return "; ".join(said) + (f"; and {more} more" if more > 0 else "")
