"""Message generators: two applications in C, and how fast an engine carries messages between them.

A thin skin over te_msggen_*. Does not know processes, command lines or how engines are joined.
Thread: whoever calls `Drive` owns the channels for that time; the GIL is released.
"""

from dataclasses import dataclass
from typing import Any, Final, Self

from transport_engine._native import ffi, lib
from transport_engine.channel import FIELDS, Channel
from transport_engine.engine import Engine
from transport_engine.errors import EngineGoneError, TransportError, error_of

BYTES_MIN: Final[int] = lib.TE_MSGGEN_BYTES_MIN
BYTES_MAX: Final[int] = lib.TE_MSGGEN_BYTES_MAX
WINDOW_MAX: Final[int] = lib.TE_MSGGEN_WINDOW_MAX
SPIN_NS: Final = 100_000  # as long as engines do
PPM: Final = 1_000_000

_KIND: Final = FIELDS.index("kind")
_FLOW: Final = FIELDS.index("flow")
_TOKEN: Final = FIELDS.index("call_id")
_STATUS: Final = FIELDS.index("status")


class WrongReplyError(TransportError):
    """A reply had another length or content than its request, or belonged to none."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a generator saw; the fields are those of `struct te_msggen_counts`."""

    elapsed_ns: int
    requests: int
    replies: int
    wrong_length: int
    wrong_mark: int
    wrong_call: int
    flows_opened: int
    flows_closed: int
    close_reason: int
    zero: int

    def check(self) -> None:
        """Errors: WrongReplyError, EngineGoneError (the flow was closed)."""
        wrong = {
            "of another length": self.wrong_length,
            "with another content": self.wrong_mark,
            "to no request": self.wrong_call,
        }
        if any(wrong.values()):
            said = ", ".join(f"{count} {what}" for what, count in wrong.items() if count)
            raise WrongReplyError(f"replies were wrong: {said}")


class Generator:
    """One application on a channel; a client if it has a flow, else a server.

    Errors: ValueError for sizes that are not allowed.
    """

    def __init__(
        self, channel: Channel, *, flow: int | None = None, size_bytes: int = 0, window: int = 0
    ) -> None:
        self.channel = channel
        self._msggen: Any = None
        config = ffi.new("struct te_msggen_config *")
        config.channel = channel.handle
        config.role = lib.TE_MSGGEN_SERVER if flow is None else lib.TE_MSGGEN_CLIENT
        config.flow = flow or 0
        config.message_bytes = size_bytes
        config.window = window
        made = ffi.new("struct te_msggen **")
        why = ffi.new("char[]", lib.TE_WHY_BYTES)
        code = lib.te_msggen_open(config, made, why)
        if code == lib.TE_E_INVALID:
            raise ValueError(ffi.string(why).decode())
        if code != 0:
            raise error_of(code, ffi.string(why).decode())
        self._msggen = made[0]

    def __repr__(self) -> str:
        return f"<Generator {self.channel!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def handle(self) -> Any:
        """The `struct te_msggen *`.

        Errors: ValueError: it was closed.
        """
        if self._msggen is None:
            raise ValueError("this generator was closed")
        return self._msggen

    def counts(self) -> Counts:
        """What it saw since it opened, or since `forget`."""
        counts = ffi.new("struct te_msggen_counts *")
        lib.te_msggen_count(self.handle, counts)
        names = Counts.__dataclass_fields__
        return Counts(**{name: getattr(counts, name) for name in names})

    def latency_ns(self, percent: float) -> int:
        """The round trip that so many percent do not exceed; 0: there was none."""
        found: int = lib.te_msggen_latency_ns(self.handle, round(percent * PPM / 100))
        return found

    def forget(self) -> None:
        """Begins to count anew."""
        lib.te_msggen_forget(self.handle)

    def close(self) -> None:
        """Frees it; the channel stays. A second call does nothing."""
        msggen, self._msggen = self._msggen, None
        if msggen is not None:
            lib.te_msggen_close(msggen)


class Drive:
    """One thread's turns: generators, and engines that have no thread of their own.

    One that is sharing offers its processor to others after each look in vain.
    """

    def __init__(
        self,
        generators: list[Generator],
        engines: list[Engine],
        *,
        is_sharing: bool = False,
    ) -> None:
        self._generators = generators
        self._engines = engines
        self._is_sharing = is_sharing

    def run(self, seconds: float) -> None:
        """Errors: EngineGoneError, ChannelCorruptError, WrongReplyError."""
        self._raise(lib.te_msggen_run(self._parts(), round(seconds * 1e9)))

    def settle(self, seconds: float) -> bool:
        """Sends nothing new; whether all that was under way was answered in that time.

        Errors: as `run`.
        """
        code = lib.te_msggen_settle(self._parts(), round(seconds * 1e9))
        if code != lib.TE_E_AGAIN:
            self._raise(code)
        return bool(code == 0)

    def _parts(self) -> Any:
        parts = ffi.new("struct te_msggen_parts *")
        parts.msggens = [generator.handle for generator in self._generators]
        parts.msggen_count = len(self._generators)
        parts.engines = [engine.handle for engine in self._engines]
        parts.engine_count = len(self._engines)
        parts.spin_ns = SPIN_NS
        parts.is_sharing = self._is_sharing
        return parts

    def _raise(self, code: int) -> None:
        for generator in self._generators:
            counts = generator.counts()
            counts.check()
            if code == lib.TE_E_CLOSED and counts.flows_closed:
                reason = ffi.string(lib.te_reason_name(counts.close_reason)).decode()
                raise EngineGoneError(f"the flow ended: {reason}")
        if code == lib.TE_E_CLOSED:
            raise EngineGoneError("the engine closed the channel: it stopped, or was killed")
        if code != 0:
            raise error_of(code, "an engine wrote what no engine writes")


def opened_flow(channel: Channel, token: int) -> int | None:
    """The flow that a connect with this token opened, if its record has come.

    Errors: EngineGoneError with the reason, if it was not opened.
    """
    for head, _ in channel.receive():
        if head[_TOKEN] == token and head[_KIND] == lib.TE_FLOW_OPENED:
            return head[_FLOW]
        if head[_TOKEN] == token and head[_KIND] == lib.TE_FLOW_CLOSED:
            reason = ffi.string(lib.te_reason_name(head[_STATUS])).decode()
            raise EngineGoneError(f"no flow was opened: {reason}")
    return None
