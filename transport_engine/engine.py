"""One engine in this process: opened, commanded, and polled by a loop or run in a thread.

A thin skin over te_engine_*. Does not know sockets, applications' rights or records.

Thread: commands come from one thread. While `start` has the engine run in its own thread, that is
the only other one; else whoever commands it polls it too.
"""

import os
import select
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final, Self

from transport_engine._native import ffi, lib
from transport_engine.channel import Channel
from transport_engine.config import EngineConfig, check_ring_bytes
from transport_engine.endpoint import Endpoint
from transport_engine.errors import VIOLATIONS, ConfigError, TransportError, error_of
from transport_engine.flows import FlowPage, page_of
from transport_engine.ports import ALL, Ports, listen_on
from transport_engine.stats import Stats, stats_of
from transport_engine.threads import started

RING_BYTES: Final = 1 << 20
COMMAND_LOOKS_MAX: Final = 50  # for a completion
LOOK_MILLISECONDS: Final = 100
IN_USE: Final = "it is in use: choose another, or end what listens there"


@dataclass(frozen=True, slots=True)
class ShareTerms:
    """What a tenant gets of an engine, over all its channels; 0 sets no limit."""

    memory_bytes: int = 0
    bytes_per_second: int = 0
    messages_per_second: int = 0
    flows_max: int = 0
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Seat:
    """Where an engine runs: its processor, and its place in a `struct te_team *`, if it has one."""

    processor: int
    team: Any = ffi.NULL
    queue: int = 0
    queues: int = 0


class Engine:
    """An engine, open until `close`. `clock`, for tests: a `uint64_t *` that holds its time.

    Errors: ConfigError, NoEngineError, PortInUseError, NoRoomError when it is made.
    """

    def __init__(self, config: EngineConfig, seat: Seat | None = None, clock: Any = None) -> None:
        self.config = config
        self._seat = seat
        self._engine: Any = None
        self._pid = os.getpid()
        self._thread: threading.Thread | None = None
        self._is_driven = False  # by te_engine_run, in whatever thread
        self._unanswered: Any = None  # a command that took too long; its memory stays
        self._token = 0
        self._on_close: Callable[[], object] | None = None
        self.on_quarantined: Callable[[int, str], None] | None = None
        self._c_config, self._strings = config.into_c(clock)
        if seat is not None:
            self._c_config.team = seat.team
            self._c_config.queue, self._c_config.queues = seat.queue, seat.queues
        made = ffi.new("struct te_engine **")
        why = ffi.new("char[]", lib.TE_WHY_BYTES)
        code = lib.te_engine_open(self._c_config, made, why)
        if code != 0:
            raise error_of(code, ffi.string(why).decode())
        self._engine = made[0]

    def __repr__(self) -> str:
        state = "closed" if self._engine is None else "running" if self._is_driven else "polled"
        return f"<Engine {self.config.driver} {state}>"

    def __del__(self) -> None:
        """Closes what nobody closed; not in a child, whose parent's it is."""
        if self._engine is not None and self._pid == os.getpid():
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def handle(self) -> Any:
        """The `struct te_engine *`, for what drives engines in C."""
        return self._open()

    # -- driving it --

    def poll(self) -> int:
        """Moves one burst; returns the records and datagrams moved."""
        moved: int = lib.te_engine_poll(self._open())
        return moved

    def lend(self, on_close: Callable[[], object]) -> int:
        """The address of the struct te_engine, for who polls it until `on_close` is called."""
        self._on_close = on_close
        return int(ffi.cast("uintptr_t", self._open()))

    def arm(self) -> int:
        """Prepares to sleep on `fileno`; returns for how many nanoseconds at most, 0: poll now."""
        wait_ns: int = lib.te_engine_arm(self._open())
        return wait_ns

    def fileno(self) -> int:
        """Becomes readable when there is something to poll for."""
        fd: int = lib.te_engine_fd(self._open())
        return fd

    @property
    def wakes(self) -> bool:
        """Whether a datagram makes `fileno` readable; else the netif wants polling."""
        return bool(lib.te_engine_wakes(self._open()))

    def run(self) -> None:
        """Polls, spins and sleeps until `stop`, without the GIL."""
        engine = self._open()
        if self._seat is not None:
            os.sched_setaffinity(0, {self._seat.processor})  # of the calling thread
        self._is_driven = True
        try:
            lib.te_engine_run(engine)
        finally:
            self._is_driven = False

    def start(self) -> None:
        """Runs the engine in a thread of its own. Errors: NoRoomError."""
        self._open()
        if self._is_driven:
            raise RuntimeError("this engine runs already")
        self._is_driven = True  # before a command can poll beside the thread
        try:
            self._thread = started(self.run, "transport-engine")
        except BaseException:
            self._is_driven = False
            raise

    def stop(self) -> None:
        """Ends `run`; waits for the thread that `start` made."""
        lib.te_engine_stop(self._open())
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def close(self) -> None:
        """Tells peers and applications, then frees everything. A second call does nothing."""
        if self._engine is None:
            return
        if self._on_close is not None:
            self._on_close()
        if self._thread is not None:
            self.stop()
        engine, self._engine = self._engine, None
        lib.te_engine_close(engine)

    # -- what it is told --

    @property
    def driver(self) -> str:
        """The netif driver's name."""
        return self.config.driver

    @property
    def local(self) -> Endpoint:
        """Where the netif is bound: the address of listeners, and the port that calls come from."""
        endpoint = ffi.new("struct te_endpoint *")
        lib.te_engine_local(self._open(), endpoint)
        return Endpoint.from_c(endpoint)

    def attach(self, ring_bytes: int = RING_BYTES) -> tuple[int, Channel]:
        """Makes a channel for this process; returns its index and the application's end.

        Errors: ConfigError (ring_bytes), NoRoomError.
        """
        index, memory_fd, doorbell_fd = self.attach_descriptors(ring_bytes)
        try:
            return index, Channel(memory_fd, doorbell_fd)
        except TransportError:
            self.detach(index)
            raise

    @property
    def message_bytes_max(self) -> int:
        """Longest message that it carries."""
        return int(self._c_config.message_bytes_max)

    @property
    def handshake_seconds_max(self) -> float:
        """How long an unanswered connect lasts."""
        return int(self._c_config.handshake_timeout_ns) / 1e9

    def set_share(self, share: int, terms: ShareTerms) -> int:
        """Says what the channels of a share get together; returns the flows that they have open.

        Errors: ConfigError.
        """
        what = f"share {share} cannot be set"
        return int(self._command(lib.TE_SHARE, what, share=share, terms=terms).value)

    def attach_descriptors(
        self, ring_bytes: int = RING_BYTES, share: int = 0
    ) -> tuple[int, int, int]:
        """Makes a channel for another process; returns its index and the two descriptors.

        Owner: the descriptors are the caller's.
        """
        check_ring_bytes(ring_bytes)
        what = f"no channel of {ring_bytes} bytes"
        done = self._command(lib.TE_ATTACH, what, ring_bytes=ring_bytes, share=share)
        return done.value, done.memory_fd, done.doorbell_fd

    def detach(self, channel: int) -> None:
        """Ends a channel's flows and listeners and frees it."""
        self._command(lib.TE_DETACH, f"channel {channel} cannot be detached", channel=channel)

    def has_left(self, channel: int) -> bool:
        """Whether nobody has the application's end of a channel any more."""
        done = self._command(lib.TE_HAS_LEFT, f"there is no channel {channel}", channel=channel)
        return bool(done.value)

    def listen(self, channel: int, port: int, among: Ports = ALL) -> int:
        """Accepts flows to a port, 0: a free one of `among`; returns it.

        Errors: PortInUseError, NoRoomError.
        """
        return listen_on(port, among, partial(self._listen, channel))

    def unlisten(self, channel: int, port: int) -> None:
        """Accepts no more flows to a port; those that are open stay."""
        what = f"port {port} has no listener of this channel"
        self._command(lib.TE_UNLISTEN, what, channel=channel, endpoint=self._at(port))

    def connect(self, channel: int, remote: Endpoint, token: int) -> None:
        """Starts to open a flow; the answer is a record in the channel that carries the token.

        Errors: ConfigError (an endpoint without a port), NoRoomError, EngineGoneError (it drains).
        """
        what = f"no flow to {remote}"
        self._command(lib.TE_CONNECT, what, channel=channel, endpoint=remote, token=token)

    def stats(self) -> Stats:
        """The counters now."""
        stats = ffi.new("struct te_stats *")
        self._command(lib.TE_STATS, "no statistics", stats=stats)
        return stats_of(stats)

    def core_stats(self, core: int) -> Stats:
        """The counters now, of core 0: it has no other.

        Errors: ConfigError.
        """
        if core != 0:
            raise ConfigError(f"there is no core {core}: this engine runs on one")
        return self.stats()

    def flows(self, first: int = 0) -> FlowPage:
        """A page of its open flows, from a slot on."""
        return page_of(lambda page: self._command(lib.TE_FLOWS, "no flows", flows=page), first)

    def route(self, port: int, core: int) -> None:
        """Notes which engine of its team listens on a port; TE_CORES_MAX: none."""
        self._command(lib.TE_ROUTE, f"port {port}", endpoint=self._at(port), queue=core)

    def attend(self) -> None:
        """Tells `on_quarantined` of channels that were cut off, and what their owners did."""
        late = self._completed()
        if late is not None:
            self._give_back(late)

    def attend_fileno(self) -> int:
        """Becomes readable when `attend` has something to tell."""
        return int(lib.te_engine_completion_fd(self._open()))

    def drain(self) -> None:
        """Refuses new flows, and closes each once its messages are delivered."""
        self._command(lib.TE_DRAIN, "the engine cannot drain")

    # -- commands --

    def _open(self) -> Any:
        if self._engine is None:
            raise RuntimeError("this engine is closed")
        return self._engine

    def _at(self, port: int) -> Endpoint:
        return Endpoint(self.local.address, port)

    def _listen(self, channel: int, port: int) -> int:
        what = f"port {port} of {self.local.address} cannot be listened on"
        done = self._command(lib.TE_LISTEN, what, channel=channel, endpoint=self._at(port))
        bound: int = done.value
        return bound

    def _command(
        self,
        op: int,
        what: str,
        *,
        ring_bytes: int = 0,
        share: int = 0,
        queue: int = 0,
        terms: ShareTerms | None = None,
        channel: int = 0,
        endpoint: Endpoint | None = None,
        token: int | None = None,
        stats: Any = ffi.NULL,
        flows: Any = ffi.NULL,
    ) -> Any:
        """Posts one command and waits for its completion; `what` opens the sentence of an error."""
        self._token += 1
        command = ffi.new("struct te_command *")
        command.op = op
        command.channel = channel
        command.token = self._token if token is None else token
        command.ring_bytes = ring_bytes
        command.stats = stats
        command.flows = flows
        command.share = share
        command.queue = queue
        if terms is not None:
            for name, value in asdict(terms).items():
                setattr(command.terms, name, value)
        if endpoint is not None:
            endpoint.into_c(command.endpoint)
        if self._unanswered is not None:
            self.attend()  # is it back?
        if self._unanswered is not None:
            raise TransportError(f"{what}: the engine hangs")
        code = lib.te_engine_command(self._open(), command)
        if code != 0:
            raise error_of(code, f"{what}: the engine takes no commands now")
        done = self._completion()
        if done is None:
            self._unanswered = (command, stats, flows)
            seconds = COMMAND_LOOKS_MAX * LOOK_MILLISECONDS / 1e3
            raise TransportError(f"{what}: no answer from the engine in {seconds:g} s")
        if done.error != 0:
            raise error_of(done.error, f"{what}: {_REASONS.get(done.error, 'it failed')}")
        return done

    def _completion(self) -> Any:
        """The completion of the one command under way; None if it takes too long.

        Not by a clock: that goes on while the whole process stands still, engine and all.
        """
        wait = select.poll()
        wait.register(self.attend_fileno(), select.POLLIN)
        for _ in range(COMMAND_LOOKS_MAX):
            done = self._completed()
            if done is not None:
                return done
            if self._is_driven:
                wait.poll(LOOK_MILLISECONDS)
            else:
                lib.te_engine_poll(self._engine)
        return self._completed()

    def _give_back(self, late: Any) -> None:
        """Undoes an attach that nobody waits for any more; what else is late does no harm."""
        self._unanswered = None
        if late.op == lib.TE_ATTACH and late.error == 0:
            os.close(late.memory_fd)
            os.close(late.doorbell_fd)
            self.detach(late.value)

    def _completed(self) -> Any:
        """The next completion of a command, if there is one; passes on those unasked for."""
        done = ffi.new("struct te_completion *")
        while lib.te_engine_completion(self._open(), done) == 0:
            if done.op != lib.TE_QUARANTINED:
                return done
            if self.on_quarantined is not None:
                self.on_quarantined(done.value, VIOLATIONS[done.violation])
        return None


_REASONS: Final[dict[int, str]] = {
    lib.TE_E_INVALID: "a value is out of its range",
    lib.TE_E_NO_MEMORY: "a table or a pool of the engine is full; raise its limits",
    lib.TE_E_CLOSED: "the engine is shutting down",
    lib.TE_E_IN_USE: IN_USE,
    lib.TE_E_SYSTEM: "the system refused: is `ulimit -n` or `-f` reached, or a port below 1024?",
    lib.TE_E_QUOTA: "all that this tenant's quota admits is in use",
    lib.TE_E_DENIED: "its process may not call memfd_create: have the seccomp profile allow it",
    lib.TE_E_UNKNOWN: "there is no such channel or listener",
}
