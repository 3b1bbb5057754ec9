"""What a contract says about a method, and what a caller may say about a call."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from machnet_rpc._protocol.calls import ENCODING
from machnet_rpc._protocol.records import LAST_PRIORITY, USUAL_PRIORITY
from machnet_rpc.errors import ContractError, InvalidArgument
from transport_engine._native import lib

TIMEOUT: Final = 10.0  # seconds, where neither the method nor the caller says otherwise
SECONDS_MAX: Final = 1e9  # of a timeout: thirty years, whose nanoseconds fit into 64 bits
MOMENT_SECONDS: Final = 1e-6  # in which a call that has waited is told for what
LANES: Final[int] = lib.TE_LANES
KEY_CHARACTERS_MAX: Final = 256
KEY_SHOWN_MAX: Final = 40

Idempotent: TypeAlias = bool | Literal["keyed"]

Metadata: TypeAlias = dict[str, str | bytes]

RESERVED: Final = "mrpc-"  # what names of an application's metadata do not begin with


@dataclass(frozen=True, slots=True)
class MethodOptions:
    """What a contract says about one of its methods. Units: seconds. Errors: ContractError."""

    timeout: float = TIMEOUT
    idempotent: Idempotent = False
    lane: int = 0
    errors: tuple[type[Exception], ...] = ()
    oneway: bool = False

    def __post_init__(self) -> None:
        if not (_is_seconds(self.timeout) and self.timeout > 0):
            raise ContractError(
                f"timeout={self.timeout!r} must be a number of seconds, more than 0, up to "
                f"{SECONDS_MAX:g}"
            )
        lane: Any = self.lane
        if not (is_whole(lane) and 0 <= lane < LANES):
            raise ContractError(f"lane={lane!r} must be a whole number from 0 to {LANES - 1}")
        if not isinstance(self.idempotent, bool) and self.idempotent != "keyed":
            raise ContractError(f'idempotent={self.idempotent!r} must be True, False or "keyed"')


class CallOptions(NamedTuple):
    """What a caller may set for a call; None leaves it to the method. Units: seconds."""

    timeout: float | None = None
    wait: bool | None = None
    key: str | None = None
    metadata: Mapping[str, str | bytes] | None = None
    reply_metadata: Metadata | None = None
    priority: int | None = None

    @property
    def carries(self) -> bool:
        """Whether there is more to a request or its reply than a payload."""
        given = self.metadata, self.reply_metadata, self.key
        return given != (None, None, None)

    def using(
        self,
        timeout: float | None,
        wait: bool | None,
        key: str | None,
        metadata: Mapping[str, str | bytes] | None,
        reply_metadata: Metadata | None,
        priority: int | None,
    ) -> "CallOptions":
        """What an application asks for, over these. Errors: InvalidArgument."""
        if timeout is not None:
            checked_timeout(timeout)
        if key is not None:
            checked_key(key)
        given = None if metadata is None else checked(metadata)
        back: Any = reply_metadata
        if not isinstance(back, dict | None):
            raise _refusal(f"reply_metadata is a dict, which replies fill, not {back!r}")
        urgency = checked_priority(priority)
        asked = CallOptions(timeout, wait, key, given, reply_metadata, urgency)
        return self if asked == AS_DECLARED else asked.over(self)

    def within(self, timeout: float | None) -> "CallOptions":
        """The same with other time."""
        return CallOptions(
            timeout, self.wait, self.key, self.metadata, self.reply_metadata, self.priority
        )

    def after(self, waited_ns: int, timeout: float) -> "CallOptions":
        """The same with what is left of the time, or else of `timeout`: a moment at least."""
        if waited_ns == 0:
            return self
        seconds = timeout if self.timeout is None else self.timeout
        return self.within(min(seconds, max(seconds - waited_ns / 1e9, MOMENT_SECONDS)))

    def over(self, then: "CallOptions") -> "CallOptions":
        """These options, and where they leave something open the others; metadata of both."""
        if self is AS_DECLARED:
            return then
        if then is AS_DECLARED:
            return self
        metadata = self.metadata
        if then.metadata is not None:
            metadata = {**then.metadata, **(metadata or {})}
        return CallOptions(
            then.timeout if self.timeout is None else self.timeout,
            then.wait if self.wait is None else self.wait,
            then.key if self.key is None else self.key,
            metadata,
            then.reply_metadata if self.reply_metadata is None else self.reply_metadata,
            then.priority if self.priority is None else self.priority,
        )


AS_DECLARED: Final = CallOptions()


def check_keyed(full_name: str, key: str | None, *, is_keyed: bool) -> None:
    """Errors: ContractError for a key of a method that has none."""
    if key is not None and not is_keyed:
        raise ContractError(f'{full_name} is not idempotent="keyed": no key')


def is_whole(given: object) -> bool:
    """Whether it is a number, without a fraction."""
    return isinstance(given, int) and not isinstance(given, bool)


def _is_seconds(given: Any) -> bool:
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    return is_number and -SECONDS_MAX <= given <= SECONDS_MAX


def checked_errors(errors: Iterable[type[Exception]]) -> tuple[type[Exception], ...]:
    """What a contract declares. Errors: ContractError."""
    given: Any = errors
    every: tuple[Any, ...] = tuple(given) if isinstance(given, Iterable) else (None,)
    if not all(_is_raised(each) for each in every):
        raise ContractError(
            f"errors={given!r} must be a list of subclasses of Exception; no handler can raise "
            "StopIteration or StopAsyncIteration"
        )
    return every


def _is_raised(kind: Any) -> bool:
    is_exception = isinstance(kind, type) and issubclass(kind, Exception)
    return is_exception and not issubclass(kind, StopIteration | StopAsyncIteration)


def checked_timeout(timeout: float) -> float:
    """What an application asks for; 0 and less: no time is left. Errors: InvalidArgument."""
    if _is_seconds(timeout):
        return timeout
    raise _refusal(
        f"timeout={timeout!r} must be a number of seconds up to {SECONDS_MAX:g}: every call has a "
        "deadline"
    )


def checked_spin(spin: float) -> float:
    """For how long an application looks without sleep. Errors: InvalidArgument."""
    if _is_seconds(spin) and spin >= 0:
        return spin
    raise _refusal(f"spin={spin!r} must be a number of seconds from 0 to {SECONDS_MAX:g}")


def checked_grace(grace: float) -> float:
    """How long calls under way are given. Errors: InvalidArgument."""
    if _is_seconds(grace):
        return grace
    raise _refusal(f"grace={grace!r} must be a number of seconds up to {SECONDS_MAX:g}")


def checked_key(key: str) -> str:
    """What an application names a call of a keyed method. Errors: InvalidArgument."""
    given: Any = key
    if isinstance(given, str) and 1 <= len(given) <= KEY_CHARACTERS_MAX:
        return key
    shown = repr(given)
    shown = shown if len(shown) <= KEY_SHOWN_MAX else f"{shown[:KEY_SHOWN_MAX]}..."
    raise _refusal(f"key={shown} must be text of 1 to {KEY_CHARACTERS_MAX} characters")


def checked_priority(priority: int | None) -> int | None:
    """What an application asks for. Errors: InvalidArgument."""
    given: Any = priority
    if given is None or (is_whole(given) and 0 <= given <= LAST_PRIORITY):
        return priority
    raise _refusal(
        f"priority={given!r} must be a whole number from 0, which goes first, to {LAST_PRIORITY}; "
        f"calls that say nothing have {USUAL_PRIORITY}"
    )


def checked(metadata: Mapping[str, str | bytes]) -> Metadata:
    """What an application wants to send. Errors: InvalidArgument."""
    given: Any = metadata
    if not isinstance(given, Mapping):  # of pairs two might have the same name
        raise _refusal(f"metadata is text or bytes by names, not {metadata!r}")
    for name, value in given.items():
        if not isinstance(name, str) or not isinstance(value, str | bytes):
            raise _refusal(f"metadata is text or bytes by names, not {name!r}: {value!r}")
        if name.startswith(RESERVED):
            raise _refusal(f"metadata cannot be named {name!r}: {RESERVED}* is reserved")
    return dict(metadata)


def _refusal(words: str) -> InvalidArgument:
    """Of what was asked for; nothing is called."""
    return InvalidArgument(words, executed="no", stage=ENCODING)
