"""What an application and a sidecar say to each other on the control socket.

One msgpack map for each message of a SOCK_SEQPACKET socket: requests carry `op` and an `id`, which
the answer repeats beside `result` or `error`; an `event` answers nothing. Knows bytes and shapes,
no sockets.
Source: docs/channel.md §6
"""

import contextlib
from collections.abc import Generator
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias, cast

import msgpack
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from transport_engine import errors
from transport_engine._native import lib
from transport_engine.config import RingBytes
from transport_engine.endpoint import PORT_MAX, Endpoint
from transport_engine.errors import ConfigError, TransportError
from transport_engine.mistakes import sentences

MESSAGE_BYTES_MAX: Final = 4096
VERSION: Final = 1

_msgpack: Final[Any] = msgpack  # its functions are untyped

_ID_MAX: Final = (1 << 64) - 1
Identifier: TypeAlias = Annotated[int, Field(ge=0, le=_ID_MAX)]
Port: TypeAlias = Annotated[int, Field(ge=0, le=PORT_MAX)]


class _Request(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: Identifier


class Attach(_Request):
    """Asks for a channel; the answer brings two descriptors.

    `direct`: whether it takes ends of pairs, of which it is told by events.
    """

    op: Literal["attach"] = "attach"
    version: int = VERSION
    ring_bytes: RingBytes
    direct: bool = False


class Listen(_Request):
    """Asks for the flows to a port, 0: a free one."""

    op: Literal["listen"] = "listen"
    port: Port


class Unlisten(_Request):
    """Gives a port back."""

    op: Literal["unlisten"] = "unlisten"
    port: Port


class Connect(_Request):
    """Asks for a flow; `remote` is an endpoint as text."""

    op: Literal["connect"] = "connect"
    remote: Annotated[str, Field(max_length=64)]
    token: Identifier


class Pair(_Request):
    """Asks for a pair with whoever listens there; the answer brings two descriptors."""

    op: Literal["pair"] = "pair"
    remote: Annotated[str, Field(max_length=64)]


class Mapped(_Request):
    """Says that an end of a pair is mapped; the answer comes when it may be used."""

    op: Literal["mapped"] = "mapped"
    pair: Identifier


class Unpair(_Request):
    """Gives an end of a pair back, or refuses it."""

    op: Literal["unpair"] = "unpair"
    pair: Identifier


class Stats(_Request):
    """Asks for the engine's counters, of one core or of all."""

    op: Literal["stats"] = "stats"
    core: Annotated[int, Field(ge=0, lt=lib.TE_CORES_MAX)] | None = None


class Flows(_Request):
    """Asks for a page of the open flows that the asker may see; 0: the first."""

    op: Literal["flows"] = "flows"
    first: Annotated[int, Field(ge=0, lt=1 << 32)] = 0


class Detach(_Request):
    """Gives the channel back; closing the socket does the same."""

    op: Literal["detach"] = "detach"


Request: TypeAlias = (
    Attach | Listen | Unlisten | Connect | Pair | Mapped | Unpair | Stats | Flows | Detach
)
_REQUESTS: Final[TypeAdapter[Request]] = TypeAdapter(Annotated[Request, Field(discriminator="op")])


class BadMessageError(Exception):
    """Bytes that are no request."""


def pack(message: dict[str, Any]) -> bytes:
    """One message as bytes."""
    return cast(bytes, _msgpack.packb(message))


@contextlib.contextmanager
def asking(kind: type[Request]) -> Generator[None]:
    """Within it a request is made of what an application gave. Errors: ConfigError."""
    try:
        yield
    except ValidationError as error:
        raise ConfigError(sentences(error, kind, kind.__name__.lower())) from None


def pack_request(request: Request) -> bytes:
    """One request as bytes."""
    return pack(request.model_dump())


def unpack(data: bytes) -> Any:
    """One message; any bytes give a value or BadMessageError."""
    try:
        return _msgpack.unpackb(data, strict_map_key=True)
    except (ValueError, msgpack.UnpackException) as error:
        raise BadMessageError(f"not a msgpack map: {error}") from error


def unpack_request(data: bytes) -> Request:
    """One request; any bytes give one or BadMessageError."""
    try:
        return _REQUESTS.validate_python(unpack(data))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadMessageError(f"{where}: {first['msg']}") from error


def endpoint_of(request: Connect | Pair) -> Endpoint:
    """The remote end of a connect or a pair.

    Errors: BadMessageError.
    """
    try:
        return Endpoint.parse(request.remote)
    except ValueError as error:
        raise BadMessageError(str(error)) from error


def pack_event(event: Literal["pair", "unpaired"], pair: int) -> bytes:
    """What an application is told without having asked."""
    return pack({"event": event, "pair": pair})


def pack_error(request_id: int, error: TransportError) -> bytes:
    """The answer to a request that failed."""
    what = {"name": type(error).__name__, "sentence": str(error)[:1024]}
    return pack({"id": request_id, "error": what})


def error_from(answer: dict[str, Any]) -> TransportError:
    """The error that an answer carries, as the class that it was there."""
    what = answer["error"]
    found = getattr(errors, str(what["name"]), TransportError)
    is_ours = isinstance(found, type) and issubclass(found, TransportError)
    return (found if is_ours else TransportError)(str(what["sentence"]))
