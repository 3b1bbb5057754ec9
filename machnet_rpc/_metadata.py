"""Metadata of a call: names with text or bytes, in front of the payload of a request or a reply.

A record that says METADATA begins with the length of a msgpack map in four bytes, the lowest
first, and the map; the usual payload follows. Names that begin with "mrpc-" are reserved.
"""

import logging
from collections.abc import Callable, Mapping
from secrets import token_hex
from typing import Any, Final

from idl import CodecError, pack, unpack
from machnet_rpc import _faults
from machnet_rpc._options import RESERVED, Metadata, checked
from machnet_rpc._protocol.calls import IncomingCall
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._protocol.records import CALL_ID, ERROR, FLAGS, METADATA, STATUS, Head
from machnet_rpc._protocol.stream_table import IncomingStream
from machnet_rpc.errors import Internal, InvalidArgument, ResourceExhausted, RpcError

LENGTH_BYTES: Final = 4
METADATA_BYTES_MAX: Final = 16 << 10
OWN_BYTES_MAX: Final = 1 << 10  # of which a call's key, and what belongs to it, may need
KEY: Final = "mrpc-key"
KEY_AGE: Final = "mrpc-key-age-ms"
_KEY_BYTES: Final = 16

log: Final = logging.getLogger("machnet_rpc")


def fresh_key() -> str:
    """One that no other call has: of 128 random bits."""
    return token_hex(_KEY_BYTES)


class MalformedMetadata(ValueError):
    """A message says that it has metadata, and has none that can be read."""


class Carried(dict[str, str | bytes]):
    """What came with a request, and what goes with its reply."""

    __slots__ = ("reply",)

    def __init__(self, received: Mapping[str, str | bytes] | None = None) -> None:
        super().__init__(received or {})
        self.reply: Metadata = {}


def visible(metadata: Mapping[str, str | bytes] | None) -> Metadata:
    """What an application is shown of what was received."""
    return {name: each for name, each in (metadata or {}).items() if not name.startswith(RESERVED)}


def add_where_it_fits(metadata: Metadata, more: Mapping[str, str | bytes]) -> None:
    """Adds what the application did not ask for: no call fails because of it."""
    try:
        size = len(pack({**metadata, **more}))
    except CodecError:  # which the call itself ends with
        return
    if size <= METADATA_BYTES_MAX - OWN_BYTES_MAX:
        metadata.update(more)


def with_metadata(metadata: Mapping[str, str | bytes], payload: bytes | memoryview) -> bytes:
    """What is sent. Errors: CodecError where there is too much of it."""
    try:
        fields = pack(dict(metadata))
    except CodecError as error:
        raise CodecError(f"the metadata cannot be sent: {error}") from error
    if len(fields) > METADATA_BYTES_MAX:
        raise CodecError(
            f"the metadata is {len(fields)} bytes, and at most {METADATA_BYTES_MAX} can be sent"
        )
    return b"".join((len(fields).to_bytes(LENGTH_BYTES, "little"), fields, payload))


def split(message: bytes | memoryview) -> tuple[Metadata, bytes]:
    """The inverse. Errors: MalformedMetadata, whatever the bytes are."""
    if type(message) is not bytes:
        message = memoryview(message)
    size = int.from_bytes(message[:LENGTH_BYTES], "little")
    end = LENGTH_BYTES + size
    if len(message) < end or size > METADATA_BYTES_MAX:
        raise MalformedMetadata("the metadata is longer than the message, or than what is taken")
    try:
        fields: Any = unpack(message[LENGTH_BYTES:end])
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
        received, payload = split(message)
        call.metadata = Carried(received)
    except MalformedMetadata as error:
        refusal = InvalidArgument(str(error), executed="no")
        _faults.answer(call, refusal.code, _faults.encode(refusal))
    else:
        on_request(call, payload)


def take_off_reply(connection: Connection, head: Head, message: bytes) -> tuple[Head, bytes]:
    """A reply without its metadata, which whoever asked for it is given; an error if malformed."""
    call_id = head[CALL_ID]
    try:
        received, payload = split(message)
    except MalformedMetadata as error:
        failure = Internal(f"the reply cannot be read: {error}", executed="yes")
        fields = list(head)
        fields[FLAGS] |= ERROR
        fields[STATUS] = failure.code
        return tuple(fields), _faults.encode(failure)
    wanted = connection.reply_metadata.pop(call_id, None)
    if wanted is None and call_id in connection.streams.outgoing:
        wanted = connection.streams.outgoing[call_id].reply_metadata
    if wanted is not None:
        try:
            wanted.update(visible(received))
        except Exception:  # it is the application's, and what else came has to be handled
            log.exception("call %d: %s takes no metadata", call_id, type(wanted).__name__)
    return head, payload


def reply(call: IncomingCall, payload: bytes | memoryview) -> None:
    """Answers with a result, and the metadata that the handler gave."""
    connection: Connection = call.connection
    status, message, flags = _answer(call, 0, payload)
    if status:
        _faults.answer(call, status, bytes(message), flags)
    else:
        connection.reply(call, message, flags)


def reply_error(call: IncomingCall, status: int, payload: bytes) -> None:
    """Answers with an error, and the metadata that the handler gave."""
    connection: Connection = call.connection
    payload = _faults.fitted(payload, connection.message_bytes_max)
    status, message, flags = _answer(call, status, payload)
    _faults.answer(call, status, bytes(message), flags)


def reply_stream(stream: IncomingStream, payload: bytes | memoryview) -> None:
    """Answers with a result, after the items, and the metadata that the handler gave."""
    call: IncomingCall = stream.call
    connection: Connection = call.connection
    status, message, flags = _answer(call, 0, payload)
    if status:
        _faults.answer(call, status, bytes(message), flags)
    else:
        connection.reply_stream(stream, message, flags)


def _answer(
    call: IncomingCall, status: int, payload: bytes | memoryview
) -> tuple[int, bytes | memoryview, int]:
    """Status, payload and flags of an answer; an error where its metadata cannot be sent."""
    if call.metadata is None or not call.metadata.reply:
        return status, payload, 0
    try:
        return status, _for_reply(call, payload), METADATA
    except RpcError as error:
        return error.code, _faults.encode(error), 0


def _for_reply(call: IncomingCall, payload: bytes | memoryview) -> bytes:
    """Errors: RpcError."""
    connection: Connection = call.connection
    try:
        message = with_metadata(checked(call.metadata.reply), payload)
    except (CodecError, InvalidArgument) as error:
        why = error.message if isinstance(error, InvalidArgument) else error  # it did execute
        raise Internal(f"the reply's metadata cannot be sent: {why}", executed="yes") from error
    if len(message) > connection.message_bytes_max:
        raise ResourceExhausted(
            f"the reply with its metadata is {len(message)} bytes, and at most "
            f"{connection.message_bytes_max} can be sent",
            executed="yes",
        )
    return message
