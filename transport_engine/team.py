"""Several engines in this process, one for each processor that it was given, commanded as one.

Each has its own queue of the netif, flows, channels, memory and timers; the engines hand datagrams
over among themselves. A channel is at the engine with the fewest, and what an engine may hold and
a tenant may use is divided among them evenly. Does not know sockets or applications' rights.

Thread: as `Engine`.
"""

import os
import select
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final, Self, TypeAlias

from transport_engine._native import ffi, lib
from transport_engine.books import MESSAGES_HELD_MIN
from transport_engine.config import EngineConfig, SidecarEngineConfig
from transport_engine.endpoint import Endpoint
from transport_engine.engine import IN_USE, RING_BYTES, Engine, Seat, ShareTerms
from transport_engine.errors import ConfigError, NoRoomError, PortInUseError, error_of
from transport_engine.flows import CORE_BITS, CORE_MASK, GONE, FlowPage, placed
from transport_engine.ports import ALL, Ports, listen_on
from transport_engine.stats import Stats, summed

_DIVIDED: Final = ("flows_max", "pool_bytes")  # among the engines of a team


class Team:
    """Engines, open until `close`.

    Errors: as Engine, when it is made.
    """

    def __init__(self, config: SidecarEngineConfig) -> None:
        self.config = config
        self.on_quarantined: Callable[[int, str], None] | None = None
        self._shares: dict[int, int] = {}  # whose each channel is
        self._listening: dict[int, int] = {}  # the channel that listens on a port
        self._channels_max = int(config.into_c()[0].channels_max)
        self._bells = select.epoll()
        self._team = _open_team(len(config.cores))
        self.engines: list[Engine] = []
        try:
            self._open_engines()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<Team of {self.engines!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Runs each engine in a thread of its own, on its processor."""
        for engine in self.engines:
            engine.start()

    def close(self) -> None:
        """Tells peers and applications, then frees everything. A second call does nothing."""
        if self._team is None:
            return
        for engine in self.engines:
            engine.stop()  # all, before one is gone that others hand datagrams to
        for engine in self.engines:
            engine.close()
        team, self._team = self._team, None
        lib.te_team_close(team)
        self._bells.close()

    # -- what it is told --

    @property
    def driver(self) -> str:
        """The netif driver's name."""
        return self.config.driver

    @property
    def local(self) -> Endpoint:
        """Where the netif is bound: the address of listeners, and the port that calls come from."""
        return self.engines[0].local

    @property
    def message_bytes_max(self) -> int:
        """Longest message that it carries."""
        return self.engines[0].message_bytes_max

    @property
    def handshake_seconds_max(self) -> float:
        """How long an unanswered connect lasts."""
        return self.engines[0].handshake_seconds_max

    def set_share(self, share: int, terms: ShareTerms) -> int:
        """Says what the channels of a share get together; returns the flows that they have open.

        Each engine gives its part, and memory for the longest messages at least.
        Errors: ConfigError.
        """
        parts = len(self.engines)
        least = MESSAGES_HELD_MIN * self.message_bytes_max
        part = replace(
            terms,
            memory_bytes=max(terms.memory_bytes // parts, least) if terms.memory_bytes else 0,
            bytes_per_second=_part(terms.bytes_per_second, parts),
            messages_per_second=_part(terms.messages_per_second, parts),
            flows_max=_part(terms.flows_max, parts),
        )
        if terms.bytes_per_second:  # the least that an engine counts by
            part = replace(part, bytes_per_second=max(part.bytes_per_second, 1000))
        return sum(engine.set_share(share, part) for engine in self.engines)

    def attach_descriptors(
        self, ring_bytes: int = RING_BYTES, share: int = 0
    ) -> tuple[int, int, int]:
        """Makes a channel for another process; returns its index and the two descriptors.

        Owner: the descriptors are the caller's.
        """
        if len(self._shares) >= self._channels_max:
            raise NoRoomError(
                f"no channel of {ring_bytes} bytes: all {self._channels_max} that "
                "engine.limits.channels_max allows are in use; raise it"
            )
        core = self._emptiest(share)
        index, memory, doorbell = self.engines[core].attach_descriptors(ring_bytes, share)
        channel = core * lib.TE_CHANNELS_MAX + index
        self._shares[channel] = share
        return channel, memory, doorbell

    def detach(self, channel: int) -> None:
        """Ends a channel's flows and listeners and frees it."""
        for port in [port for port, whose in self._listening.items() if whose == channel]:
            self._forget(port)
        self._shares.pop(channel, None)
        engine, index = self._place_of(channel)
        engine.detach(index)

    def has_left(self, channel: int) -> bool:
        """Whether nobody has the application's end of a channel any more."""
        engine, index = self._place_of(channel)
        return engine.has_left(index)

    def listen(self, channel: int, port: int, among: Ports = ALL) -> int:
        """Accepts flows to a port, 0: a free one of `among`; returns it.

        Errors: PortInUseError, NoRoomError.
        """
        return listen_on(port, among, partial(self._listen, channel))

    def unlisten(self, channel: int, port: int) -> None:
        """Accepts no more flows to a port; those that are open stay."""
        engine, index = self._place_of(channel)
        if self._listening.get(port) == channel:
            self._forget(port)
        engine.unlisten(index, port)

    def connect(self, channel: int, remote: Endpoint, token: int) -> None:
        """Starts to open a flow; the answer is a record in the channel that carries the token.

        Errors: ConfigError (an endpoint without a port), NoRoomError, EngineGoneError (it drains).
        """
        engine, index = self._place_of(channel)
        engine.connect(index, remote, token)

    def stats(self) -> Stats:
        """The counters of all engines together."""
        return summed([engine.stats() for engine in self.engines])

    def core_stats(self, core: int) -> Stats:
        """The counters of one engine, by its place in `cores`.

        Errors: ConfigError, there is none.
        """
        if core >= len(self.engines):
            raise ConfigError(f"there is no core {core}: this engine runs on {len(self.engines)}")
        return self.engines[core].stats()

    def flows(self, first: int = 0) -> FlowPage:
        """A page of the open flows, engine after engine."""
        core = min(first & CORE_MASK, len(self.engines) - 1)
        page = self.engines[core].flows(min(first >> CORE_BITS, GONE))
        return placed(page, core, len(self.engines), lib.TE_CHANNELS_MAX)

    def attend(self) -> None:
        """Tells `on_quarantined` of channels that were cut off, and what their owners did."""
        for engine in self.engines:
            engine.attend()

    def attend_fileno(self) -> int:
        """Becomes readable when `attend` has something to tell."""
        return self._bells.fileno()

    def drain(self) -> None:
        """Refuses new flows, and closes each once its messages are delivered."""
        for engine in self.engines:
            engine.drain()

    # -- engines and channels --

    def _open_engines(self) -> None:
        cores = self.config.cores
        config = _part_of(self.config, len(cores))
        for queue, processor in enumerate(cores):
            seat = Seat(processor, self._team, queue, len(cores))
            try:
                engine = Engine(config, seat)
            except ConfigError as error:
                raise ConfigError(
                    f"{error} (engine.cores divides {' and '.join(_DIVIDED)} of engine.limits "
                    f"among {len(cores)} engines)"
                ) from None
            engine.on_quarantined = self._teller(queue)
            self.engines.append(engine)
            self._bells.register(engine.attend_fileno(), select.EPOLLIN)
            # All queues call from the port that the first one got.
            config = config.model_copy(update={"port": engine.local.port})

    def _teller(self, core: int) -> Callable[[int, str], None]:
        def tell(index: int, sentence: str) -> None:
            if self.on_quarantined is not None:
                self.on_quarantined(core * lib.TE_CHANNELS_MAX + index, sentence)

        return tell

    def _place_of(self, channel: int) -> tuple[Engine, int]:
        core, index = divmod(channel, lib.TE_CHANNELS_MAX)
        return self.engines[core], index

    def _emptiest(self, share: int) -> int:
        """The engine with the fewest channels, and of those the one with the fewest of a share."""

        def load(core: int) -> tuple[int, int]:
            here = [
                whose
                for channel, whose in self._shares.items()
                if channel // lib.TE_CHANNELS_MAX == core
            ]
            return len(here), here.count(share)

        return min(range(len(self.engines)), key=load)

    def _listen(self, channel: int, port: int) -> int:
        if port in self._listening:
            at = Endpoint(self.local.address, port)
            raise PortInUseError(f"port {at.port} of {at.address} cannot be listened on: {IN_USE}")
        engine, index = self._place_of(channel)
        bound = engine.listen(index, port)
        self._listening[bound] = channel
        for each in self.engines:
            each.route(bound, channel // lib.TE_CHANNELS_MAX)
        return bound

    def _forget(self, port: int) -> None:
        del self._listening[port]
        for engine in self.engines:
            engine.route(port, lib.TE_CORES_MAX)


Engines: TypeAlias = Engine | Team


def open_engines(config: SidecarEngineConfig) -> Engines:
    """The engine of a sidecar: one, or as many as it has cores.

    Errors: as Engine; ConfigError for a processor that this process may not use.
    """
    usable = os.sched_getaffinity(0)
    for processor in config.cores:
        if processor not in usable:
            raise ConfigError(
                f"engine.cores has processor {processor}; this process may run on "
                f"{', '.join(map(str, sorted(usable)))}"
            )
    if len(config.cores) > 1:
        return Team(config)
    return Engine(config, Seat(config.cores[0]) if config.cores else None)


def _open_team(count: int) -> Any:
    made = ffi.new("struct te_team **")
    why = ffi.new("char[]", lib.TE_WHY_BYTES)
    code = lib.te_team_open(count, made, why)
    if code != 0:
        raise error_of(code, ffi.string(why).decode())
    return made[0]


def _part(whole: int, parts: int) -> int:
    """An even part, rounded up, of what 0 does not limit."""
    return -(-whole // parts)


def _part_of(config: EngineConfig, parts: int) -> EngineConfig:
    """The configuration of each of so many engines."""
    c_config, _ = config.into_c()
    divided = {name: max(1, getattr(c_config, name) // parts) for name in _DIVIDED}
    return config.model_copy(update={"limits": config.limits.model_copy(update=divided)})
