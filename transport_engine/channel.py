"""An application's end of a channel: packed records in, records out, and a doorbell.

At the other end is an engine, or another application: then the channel is a pair, which the
control plane makes. Knows the layout of a record as the native module reports it; not what records
mean. Source: docs/channel.md
"""

import os
import select
import struct
from collections.abc import Callable, Iterable
from typing import Any, Final, Self, TypeAlias

from transport_engine._native import ffi, lib
from transport_engine.errors import ChannelCorruptError, EngineGoneError, error_of

RecordTuple: TypeAlias = tuple[int, ...]
"""The fields of a `struct te_record`, in the order of `FIELDS`."""

_CODES: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}


def _record_struct() -> struct.Struct:
    """The format of `struct te_record`; its fields are unsigned and lie without gaps."""
    layout = ffi.typeof("struct te_record").fields
    record = struct.Struct("=" + "".join(_CODES[ffi.sizeof(field.type)] for _, field in layout))
    if record.size != ffi.sizeof("struct te_record"):
        raise AssertionError("struct te_record has gaps")
    return record


RECORD: Final = _record_struct()
FIELDS: Final[tuple[str, ...]] = tuple(name for name, _ in ffi.typeof("struct te_record").fields)

READABLE: Final[int] = lib.TE_WAKE_READABLE
WRITABLE: Final[int] = lib.TE_WAKE_WRITABLE

_SIZE: Final = FIELDS.index("size_bytes")
_HEADS_MAX: Final = 64
UNTAKEN_MAX: Final = 8192  # of which a channel tells
_PAYLOAD_BYTES: Final[int] = 4 * lib.TE_RECORD_PAYLOAD_MAX


class _Burst:
    """Room for the records that one look takes. Shape: some 256 KiB, so none is made in vain."""

    __slots__ = ("heads", "heads_bytes", "payload", "payload_bytes")

    def __init__(self) -> None:
        self.heads = ffi.new("struct te_record[]", _HEADS_MAX)
        self.heads_bytes = ffi.buffer(self.heads)
        self.payload = ffi.new("uint8_t[]", _PAYLOAD_BYTES)
        self.payload_bytes = ffi.buffer(self.payload)


class Channel:
    """One process's rings to and from an engine, or an end of a pair.

    Owner: takes over both descriptors, also when it fails. Thread: one.
    Errors: ChannelCorruptError and NoEngineError when it is made; every method EngineGoneError once
    the channel is closed.
    """

    __slots__ = (
        "_burst",
        "_channel",
        "_on_close",
        "_other",
        "_pid",
    )

    def __init__(self, memory_fd: int, doorbell_fd: int, *, accepts: bool | None = None) -> None:
        """`accepts`: None for an engine's channel; of a pair, whether this end was called."""
        self._channel: Any = None
        self._pid = os.getpid()
        made = ffi.new("struct te_channel **")
        why = ffi.new("char[]", lib.TE_WHY_BYTES)
        self._on_close: Callable[[], object] | None = None
        if accepts is None:
            self._other = "engine"
            code = lib.te_channel_open(memory_fd, doorbell_fd, made, why)
        else:
            self._other = "other application"
            code = lib.te_pair_open(memory_fd, doorbell_fd, accepts, made, why)
        if code != 0:
            raise error_of(code, ffi.string(why).decode())
        self._channel = made[0]
        self._burst: _Burst | None = None  # made by the first `receive`, which C has no need of

    def __repr__(self) -> str:
        state = "closed" if self._channel is None else f"fd={self.fileno()}"
        return f"<Channel {state}>"

    def __del__(self) -> None:
        """Closes what nobody closed; not in a child, which may have closed the descriptors."""
        if self._channel is not None and self._pid == os.getpid():
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._channel is None

    @property
    def handle(self) -> Any:
        """The `struct te_channel *`, for what drives channels in C."""
        return self._open()

    def fileno(self) -> int:
        """Becomes readable when the engine rings, and when it is gone."""
        fd: int = lib.te_channel_fd(self._open())
        return fd

    def send(self, records: bytes | bytearray | memoryview) -> int:
        """Offers packed whole records, each padded; returns the bytes taken, 0 when full.

        Errors: ValueError for a record that breaks the rules; ChannelCorruptError.
        """
        view = ffi.from_buffer("uint8_t[]", records)
        taken: int = lib.te_channel_send(self._open(), view, len(view))
        if taken < 0:
            if taken == lib.TE_E_INVALID:
                raise ValueError("not whole, valid records in order (docs/channel.md §2)")
            raise ChannelCorruptError(
                f"the {self._other} moved a ring's position where none can be"
            )
        return taken

    def receive(self) -> list[tuple[RecordTuple, bytes]]:
        """The records that arrived, at most a burst of them.

        Errors: ChannelCorruptError.
        """
        channel = self._open()
        if self._burst is None:
            self._burst = _Burst()
        heads_bytes, payload_bytes = self._burst.heads_bytes, self._burst.payload_bytes
        count: int = lib.te_channel_receive(
            channel, self._burst.heads, _HEADS_MAX, self._burst.payload, _PAYLOAD_BYTES
        )
        if count <= 0:
            if count < 0:
                raise ChannelCorruptError(f"the {self._other} wrote a record that breaks the rules")
            return []
        received: list[tuple[RecordTuple, bytes]] = []
        at = 0
        for head in RECORD.iter_unpack(heads_bytes[: count * RECORD.size]):
            end = at + head[_SIZE]
            received.append((head, payload_bytes[at:end]))
            at = end
        return received

    def untaken(self) -> list[RecordTuple]:
        """The headers of requests that the other side has taken nothing of, at most UNTAKEN_MAX.

        None where it wrote what it may not, or this channel is closed.
        """
        if self._channel is None:
            return []
        heads = ffi.new("struct te_record[]", UNTAKEN_MAX)
        count = max(lib.te_channel_untaken(self._channel, heads, UNTAKEN_MAX), 0)
        return list(RECORD.iter_unpack(ffi.buffer(heads)[: count * RECORD.size]))

    def begin_starts(self, flow: int, number: int) -> None:
        """Has it noted from now on which of a flow's requests this side takes and starts.

        `number` is what both ends of the flow know it by.
        """
        lib.te_channel_begin_starts(self._open(), flow, number)

    def keep_starts(self, fd: int, *, beside: bool) -> None:
        """Has that noted from now on in a file, a `struct te_starts_file` that is begun anew.

        That is done beside the channel's memory, or in its place.

        Errors: ConfigError (a file of another size, or not in memory), NoEngineError.
        """
        why = ffi.new("char[]", lib.TE_WHY_BYTES)
        code = lib.te_channel_keep_starts(self._open(), fd, beside, why)
        if code != 0:
            raise error_of(code, ffi.string(why).decode())

    def note_started(self, flow: int, call_ids: Iterable[int]) -> None:
        """Their handlers have started."""
        channel = self._open()
        for call_id in call_ids:
            lib.te_channel_note(channel, flow, call_id, lib.TE_STARTED)

    def starts(self, flow: int, *, is_own: bool) -> bytes:
        """What this side, or the other, has noted of a flow: a `struct te_starts`, little endian.

        Nothing where nothing is known, or this channel is closed. Of the other side it is the last
        word once that has left.
        """
        starts = ffi.new("struct te_starts *")
        if self._channel is None or not lib.te_channel_starts(self._channel, flow, is_own, starts):
            return b""
        return struct.pack(f"<{1 + lib.TE_STARTS_WORDS}Q", starts.newest, *starts.words)

    def has_acked(self, flow: int, call_id: int) -> bool:
        """Whether the peer's engine has acknowledged all of a request, as the engine here told.

        False where it has not, where nothing is known, and once this channel is closed.
        """
        channel = self._channel
        return channel is not None and bool(lib.te_channel_has_acked(channel, flow, call_id))

    def is_left(self) -> bool:
        """Whether the other side has closed its end, or died: it takes nothing any more.

        It has not where only this side looks away, as it does when a pair is called over.
        """
        if self._channel is None:
            return False
        poll = select.poll()
        poll.register(self.fileno(), 0)
        return any(events & select.POLLHUP for _, events in poll.poll(0))

    def ring(self) -> None:
        """Wakes the other side if it sleeps; once after a burst of sends, and of receives."""
        lib.te_channel_ring(self._open())

    def arm(self, wake: int) -> int:
        """Prepares to sleep for READABLE, WRITABLE or both; returns those that are true already.

        Sleep on `fileno` only if it returns 0. With `wake` 0 it takes that back.
        """
        ready: int = lib.te_channel_arm(self._open(), wake)
        return ready

    def awake(self) -> None:
        """Empties the doorbell after `fileno` became readable.

        Errors: EngineGoneError.
        """
        if lib.te_channel_awake(self._open()) != 0:
            raise EngineGoneError(
                f"the {self._other} closed this channel: it stopped, or was killed"
            )

    def lend(self, on_close: Callable[[], object]) -> int:
        """The address of the struct te_channel, to one other user until `on_close` is called."""
        self._on_close = on_close
        return int(ffi.cast("uintptr_t", self._open()))

    def close(self) -> None:
        """Unmaps the rings, of which the other side learns. A second call does nothing."""
        if self._on_close is not None:
            self._on_close()
        self._burst = None
        channel, self._channel = self._channel, None
        if channel is not None:
            lib.te_channel_close(channel)

    def _open(self) -> Any:
        if self._channel is None:
            raise EngineGoneError("this channel was closed")
        return self._channel


class PairMaker:
    """The memory and the doorbell of a pair, until both applications have their ends.

    Shape: `descriptors` for each end; `seal` once both have mapped; `close`.
    Errors: ConfigError (ring_bytes), NoRoomError, NoEngineError when it is made.
    """

    def __init__(self, ring_bytes: int) -> None:
        memory_fd = ffi.new("int *")
        doorbell_fds = ffi.new("int[2]")
        self._why = ffi.new("char[]", lib.TE_WHY_BYTES)
        code = lib.te_pair_make(ring_bytes, memory_fd, doorbell_fds, self._why)
        if code != 0:
            raise error_of(code, ffi.string(self._why).decode())
        self._memory_fd: int = memory_fd[0]
        self._doorbell_fds: list[int] = list(doorbell_fds)

    def __repr__(self) -> str:
        return f"<PairMaker {'closed' if self._memory_fd < 0 else 'open'}>"

    def descriptors(self, *, accepts: bool) -> tuple[int, int]:
        """Memory and doorbell of one end, to be passed on. Owner: this maker."""
        return self._memory_fd, self._doorbell_fds[accepts]

    def passed(self, *, accepts: bool) -> None:
        """Closes this process's copy of an end's doorbell, so that its owner's death is seen."""
        if self._doorbell_fds[accepts] >= 0:
            os.close(self._doorbell_fds[accepts])
            self._doorbell_fds[accepts] = -1

    def seal(self) -> None:
        """Takes from everybody the power to change the memory's pages.

        Errors: ChannelCorruptError, when one of the two has done so already.
        """
        code = lib.te_pair_seal(self._memory_fd, self._why)
        if code != 0:
            raise error_of(code, ffi.string(self._why).decode())

    def close(self) -> None:
        """Closes what this process has of it. A second call does nothing."""
        for accepts in (False, True):
            self.passed(accepts=accepts)
        if self._memory_fd >= 0:
            os.close(self._memory_fd)
            self._memory_fd = -1
