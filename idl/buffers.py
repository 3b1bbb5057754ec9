"""`bytes`, `bytearray` and `memoryview`, which are their own payload.

Does not know what else a method takes.
"""

from collections.abc import Callable
from typing import Any, Final, cast

from idl.packing import CodecError
from idl.raised import said, shown

KINDS: Final = (bytes, bytearray, memoryview)


class RawCodec:
    """A lone one, which has no codec at all.

    What is encoded is sent from where it lies; it must not change before it is.
    """

    __slots__ = ("decode", "encode")

    def __init__(self, annotation: Any) -> None:
        self.encode: Callable[[object], bytes | memoryview] = flat
        """Errors: CodecError."""
        self.decode: Callable[[bytes], bytes | bytearray | memoryview] = annotation
        """A memoryview is one of the payload itself."""


def is_raw(annotation: Any) -> bool:
    """Whether it is the type of such values."""
    return annotation is bytes or annotation is memoryview or annotation is bytearray


def flat(value: object) -> bytes | memoryview:
    """The value's bytes in a row, without a copy where they lie like that.

    Errors: CodecError for what is none of them, and for a view that was released.
    """
    if type(value) is bytes:
        return value
    if not issubclass(type(value), KINDS):
        raise CodecError(f"must be bytes, not {shown(value)}")
    try:
        view = memoryview(cast(bytes, value))
        return view.cast("B") if view.c_contiguous and view.nbytes else view.tobytes()
    except Exception as error:
        raise CodecError(f"{shown(value)} cannot be sent: {said(error)}") from error
