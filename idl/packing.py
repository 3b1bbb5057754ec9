"""Plain values as msgpack and back, for any type and none: what msgpack lacks has its rules here.

What cannot be sent is refused where it is sent, in a sentence.
"""

import dataclasses
import datetime as dt
from collections import deque
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from decimal import Decimal
from enum import Enum
from typing import Any, Final, cast

import msgpack
import msgspec
import pydantic
import pydantic_core

from idl.raised import class_name, said

BIG_INT: Final = 1  # the msgpack extension for integers beyond 64 bits: big-endian, signed
KEPT_BYTES_MAX: Final = 1 << 18  # of a packer's buffer, which is as long when it is new
_ENUM_VALUES: Final = (str, bytes, int, float, type(None))
_msgpack: Final[Any] = msgpack  # it comes without types


class CodecError(ValueError):
    """A value is not of the type that the contract names, or a payload is not a value at all."""


def pack(value: object) -> bytes:
    """Any value as msgpack; what msgpack lacks travels as pydantic writes it to JSON.

    Errors: CodecError.
    """
    try:
        return _packed(value)
    except Exception as error:  # also what a serializer of the user's raises
        raise CodecError(f"{class_name(value)} cannot be sent: {said(error)}") from error


def unpack(payload: bytes | memoryview) -> Any:
    """The inverse of `pack`, as plain values.

    Errors: CodecError for any bytes that are not one msgpack value.
    """
    try:
        try:
            return _unpacked(payload)
        except RecursionError:  # where there is room for fewer levels than can be packed
            return _unpacked_deep(payload)
    except Exception as error:
        raise CodecError(f"the payload is not msgpack: {said(error)}") from error


def unpacker(annotation: Any) -> Callable[[bytes | memoryview], Any]:
    """As `unpack`, for one type; it raises what msgspec does, and what an extension is refused by.

    Errors: TypeError for a type that msgspec does not know.
    """
    return msgspec.msgpack.Decoder(annotation, ext_hook=_extended).decode


def _packing(default: Callable[[object], object] | None) -> Callable[[object], bytes]:
    """How values are written; `default` is asked about what is none of msgpack's own types."""
    packers: list[Any] = []  # that nobody uses; their buffers cost more than a small value

    def packed(value: object) -> bytes:
        try:
            packer = packers.pop()
        except IndexError:
            packer = _msgpack.Packer(default=default)
        written: bytes = packer.pack(value)
        if len(written) <= KEPT_BYTES_MAX:
            packers.append(packer)
        return written

    return packed


def _plain(value: object) -> object:
    """What msgpack cannot write, as something nearer to what it can."""
    if isinstance(value, int):  # beyond 64 bits
        size = value.bit_length() // 8 + 1
        return msgpack.ExtType(BIG_INT, value.to_bytes(size, "big", signed=True))
    if isinstance(value, Enum):
        if not isinstance(value.value, _ENUM_VALUES):
            raise ValueError(f"the value of {value} must be text, bytes, a number or None")
        return value.value
    if isinstance(value, Decimal) and not value.is_finite():
        raise ValueError(f"the Decimal {value} is not finite")
    if isinstance(value, dt.datetime | dt.time):
        offset = value.utcoffset()
        if offset is not None and offset % dt.timedelta(minutes=1):
            raise ValueError(f"the offset of {value} is not a whole number of minutes")
    if hasattr(value, "get_secret_value"):  # pydantic's, which are written to JSON as asterisks
        return cast(pydantic.SecretStr, value).get_secret_value()
    if isinstance(value, AbstractSet | deque):
        return list(cast(Iterable[object], value))
    if isinstance(value, pydantic.BaseModel):
        return value.model_dump(by_alias=True, round_trip=True)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(value, "__struct_fields__"):
        return msgspec.to_builtins(value, builtin_types=(bytes,))
    return pydantic_core.to_jsonable_python(value)


def _unpacked_deep(payload: bytes | memoryview) -> Any:
    """By the library that packs, which takes as many levels whatever calls it."""
    return _msgpack.unpackb(
        payload,
        strict_map_key=False,
        object_pairs_hook=_keyed_by_tuples,
        ext_hook=_extended,
        timestamp=3,  # as datetimes, like msgspec
    )


def _keyed_by_tuples(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    return {_hashable(key): value for key, value in pairs}


def _hashable(key: Any) -> Any:
    if not isinstance(key, list):
        return key
    items: list[Any] = key
    return tuple(_hashable(item) for item in items)


def _extended(code: int, data: bytes | memoryview) -> int:
    if code != BIG_INT:
        raise ValueError(f"extension type {code} is unknown")
    return int.from_bytes(data, "big", signed=True)


_packed: Final = _packing(_plain)
_unpacked: Final = unpacker(Any)
pack_native: Final = _packing(None)
"""As `pack`, for what consists of nothing but msgpack's own types. Errors: any, for all else."""
