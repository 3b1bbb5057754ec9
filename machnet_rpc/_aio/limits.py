"""What a server answers, and how much of it at once."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from machnet_rpc._binding import MethodBinding
from machnet_rpc._method_id import method_id as method_id_of
from machnet_rpc._protocol.records import MESSAGE_BYTES_MAX
from machnet_rpc._protocol.streams import FIRST
from machnet_rpc._protocol.tally import Tally
from machnet_rpc.errors import Unimplemented
from machnet_rpc.service import KINDS

LIMIT_MAX: Final = 1 << 62  # of whatever is counted, so that it fits into 64 bits


@dataclass(frozen=True, slots=True)
class Route:
    """A method and what answers it."""

    binding: MethodBinding
    handler: Callable[..., Coroutine[Any, Any, Any]]
    tally: Tally = field(default_factory=Tally)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server admits; beyond it calls are refused as RESOURCE_EXHAUSTED, executed "no".

    `request_bytes` and `reply_bytes` are of the encoded arguments and results of one call, and of
    each item of a stream. `stream_items` and `stream_bytes` are what a stream may be sent before
    its handler takes it. `keyed_replies`, `keyed_bytes` and `keyed_seconds` are what a server
    remembers of keyed calls that have ended.
    """

    handlers: int = 10_000
    request_bytes: int = MESSAGE_BYTES_MAX
    reply_bytes: int = MESSAGE_BYTES_MAX
    stream_items: int = FIRST.items
    stream_bytes: int = FIRST.size_bytes
    keyed_replies: int = 100_000
    keyed_bytes: int = 64 << 20
    keyed_seconds: float = 600.0

    def __post_init__(self) -> None:
        for each in fields(self):
            value: Any = getattr(self, each.name)
            least = 0 if each.name.startswith("keyed_") else 1
            kinds = int | float if each.name == "keyed_seconds" else int
            if not (isinstance(value, kinds) and least <= value <= LIMIT_MAX):
                raise ValueError(f"{each.name}={value!r} must be a number from {least}")


def unknown(
    method_id: int, routes: Mapping[int, Route], services: Mapping[int, str]
) -> Unimplemented:
    """For a method that is none of them; `services` are names by the high half of their ids."""
    service = services.get(method_id >> 32)
    if service is None:
        known = ", ".join(sorted(set(services.values())))
        return Unimplemented(f"no such service here; there is {known}")
    kinds = {
        route.binding.schema.name.rpartition("/")[2]: route.binding.kind
        for known_id, route in routes.items()
        if known_id >> 32 == method_id >> 32
    }
    for name, here in kinds.items():
        for kind in KINDS:
            if method_id == method_id_of(service, name, kind):
                return Unimplemented(f"{name} is {here} here, not {kind}")
    return Unimplemented(f"service {service} has no such method; it has {', '.join(sorted(kinds))}")
