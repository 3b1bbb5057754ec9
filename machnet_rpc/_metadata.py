"""Metadata of a call: names with text or bytes, in front of a request's payload.

A request whose record says METADATA begins with the length of a msgpack map in four bytes, the
lowest first, and the map; the usual payload follows. Names that begin with "mrpc-" are reserved.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from idl import CodecError, pack, unpack
from machnet_rpc import _faults
from machnet_rpc._protocol.calls import IncomingCall
from machnet_rpc.errors import InvalidArgument

Metadata: TypeAlias = dict[str, str | bytes]

LENGTH_BYTES: Final = 4
METADATA_BYTES_MAX: Final = 16 << 10
KEY: Final = "mrpc-key"
KEY_AGE: Final = "mrpc-key-age-ms"


class MalformedMetadata(ValueError):
    """A request says that it has metadata, and has none that can be read."""


def with_metadata(metadata: Metadata, payload: bytes | memoryview) -> bytes:
    """What is sent. Errors: CodecError where there is too much of it."""
    fields = pack(metadata)
    if len(fields) > METADATA_BYTES_MAX:
        raise CodecError(
            f"the metadata is {len(fields)} bytes, and at most {METADATA_BYTES_MAX} can be sent"
        )
    return b"".join((len(fields).to_bytes(LENGTH_BYTES, "little"), fields, payload))


def split(message: bytes | memoryview) -> tuple[Metadata, bytes]:
    """The inverse. Errors: MalformedMetadata, whatever the bytes are."""
    size = int.from_bytes(message[:LENGTH_BYTES], "little")
    end = LENGTH_BYTES + size
    if len(message) < end or size > METADATA_BYTES_MAX:
        raise MalformedMetadata("the metadata is longer than the message, or than what is taken")
    try:
        fields: Any = unpack(bytes(message[LENGTH_BYTES:end]))
    except CodecError as error:
        raise MalformedMetadata(f"the metadata is not msgpack: {error}") from error
    if not isinstance(fields, dict):
        raise MalformedMetadata("the metadata is no map")
    named: dict[Any, Any] = fields
    for name, value in named.items():
        if not isinstance(name, str) or not isinstance(value, str | bytes):
            raise MalformedMetadata("the metadata is not text or bytes by names")
    return named, bytes(message[end:])


def take_off(
    call: IncomingCall, message: bytes, on_request: Callable[[IncomingCall, bytes], None]
) -> None:
    """Hands on a request with its metadata apart, or refuses it."""
    try:
        call.metadata, payload = split(message)
    except MalformedMetadata as error:
        refusal = InvalidArgument(str(error), executed="no")
        call.connection.reply_error(call, refusal.code, _faults.encode(refusal))
    else:
        on_request(call, payload)
