"""`mrpc msggen` on several queues: a thread for each, with an engine and an application of its own.

Each thread keeps to its processor, and offers it to others whenever a look was in vain: the other
end of its queue may be there, too. A server's applications listen on ports in a row; client i
calls server i, so that a virtual pair brings everything to the thread whose it is. Does not know
command lines.
"""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Final, Self, TypeVar

from machnet_rpc.cli.msggen_rows import SLICE_SECONDS, WARM_UP, Row, row_of, settle, slices
from machnet_rpc.cli.msggen_rows import together as sum_of
from transport_engine.channel import Channel
from transport_engine.config import SidecarEngineConfig
from transport_engine.endpoint import PORT_MAX, Endpoint
from transport_engine.engine import Engine
from transport_engine.errors import ConfigError, EngineGoneError, TransportError
from transport_engine.msggen import Drive, Generator, opened_flow
from transport_engine.team import Team, open_engines

T = TypeVar("T")

CONNECT_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 0.005
TOKEN: Final = 1
MEET_SECONDS: Final = 60.0  # for threads that wait for each other


class _StoppedError(Exception):
    """Another thread failed, or the command was interrupted."""


class Queues:
    """Engines over the queues of one netif, and a channel of each, until `close`.

    Thread: one opens, listens and connects; `run` has one for each queue.
    Errors: as Engine; ConfigError for a processor that this process may not use.
    """

    def __init__(self, config: SidecarEngineConfig, ring_bytes: int) -> None:
        self.count: int = len(config.cores)
        self._cores = config.cores
        self._opened = open_engines(config)
        self._engines: list[Engine] = (
            self._opened.engines if isinstance(self._opened, Team) else [self._opened]
        )
        self._channels: list[Channel] = []
        self._places: list[int] = []
        self._stop = threading.Event()
        self._meeting = threading.Barrier(self.count)
        try:
            for _ in range(self.count):
                place, memory, doorbell = self._opened.attach_descriptors(ring_bytes)
                self._places.append(place)
                self._channels.append(Channel(memory, doorbell))
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<Queues {self._opened!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def local(self) -> Endpoint:
        """Where the netif is bound."""
        return self._opened.local

    @property
    def driver(self) -> str:
        """The netif driver's name, and how many queues it has."""
        return f"{self._opened.driver}, {self.count} queues"

    def handed_over(self) -> int:
        """Datagrams that came in at another queue than that of the thread whose they were."""
        return self._opened.stats()["datagrams_handed_over"]

    def close(self) -> None:
        """Closes channels and engines, which tell the peers. A second call does nothing."""
        for channel in self._channels:
            channel.close()
        self._opened.close()

    def listen(self, port: int) -> None:
        """Has each application listen, on this port and those that follow.

        Errors: ConfigError (there are too few ports above), PortInUseError.
        """
        _check_ports(port, self.count)
        for i, place in enumerate(self._places):
            self._opened.listen(place, port + i)

    async def serve(self) -> None:
        """Answers until it is cancelled, or an engine is gone."""

        def answer(index: int) -> None:
            with Generator(self._channels[index]) as server:
                drive = self._drive(index, server)
                while True:
                    drive.run(SLICE_SECONDS)
                    self._look()

        await self._run(answer)

    async def connect(self, host: str, port: int) -> list[int]:
        """Opens a flow of each application to its own port of a server; returns them.

        Errors: ConfigError, EngineGoneError.
        """
        _check_ports(port, self.count)
        for i, place in enumerate(self._places):
            self._opened.connect(place, Endpoint(ip_address(host), port + i), TOKEN)
        flows: dict[int, int] = {}
        for _ in range(round(CONNECT_SECONDS / LOOK_SECONDS)):
            self._look_for_flows(flows)
            if len(flows) == self.count:
                return [flows[i] for i in range(self.count)]
            await asyncio.sleep(LOOK_SECONDS)
        raise EngineGoneError(
            f"{host}:{port} answers {len(flows)} of {self.count} queues: does "
            f"`mrpc msggen --serve {port}` run there, with as many cores?"
        )

    def _look_for_flows(self, flows: dict[int, int]) -> None:
        for engine in self._engines:
            engine.poll()
        for i, channel in enumerate(self._channels):
            found = None if i in flows else opened_flow(channel, TOKEN)
            if found is not None:
                flows[i] = found

    async def measure(self, flows: list[int], window: int, size: int, duration: float) -> Row:
        """One row of all clients together.

        Errors: NoAnswerError, and those of `Drive`.
        """

        def call(index: int) -> Row:
            channel, flow = self._channels[index], flows[index]
            with Generator(channel, flow=flow, size_bytes=size, window=window) as client:
                drive = self._drive(index, client)
                self._drive_for(duration * WARM_UP, client, drive)
                self._meet()
                client.forget()
                self._drive_for(duration, client, drive)
                row = row_of(window, client)
                self._meet()
                settle(drive)
                return row

        return sum_of(await self._run(call))

    # -- threads --

    def _drive(self, index: int, generator: Generator) -> Drive:
        os.sched_setaffinity(0, {self._cores[index]})  # of the calling thread
        return Drive([generator], [self._engines[index]], is_sharing=True)

    def _drive_for(self, duration: float, client: Generator, drive: Drive) -> None:
        for _ in slices(duration, client, drive):
            self._look()

    def _look(self) -> None:
        if self._stop.is_set():
            raise _StoppedError

    def _meet(self) -> None:
        try:
            self._meeting.wait(MEET_SECONDS)
        except threading.BrokenBarrierError:
            raise _StoppedError from None

    async def _run(self, work: Callable[[int], T]) -> list[T]:
        """Runs it in as many threads; the first error ends all of them."""

        def guarded(index: int) -> T:
            try:
                return work(index)
            except BaseException:
                self._end_threads()
                raise

        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(self.count) as threads:
            running = [loop.run_in_executor(threads, guarded, i) for i in range(self.count)]
            try:
                ended = await asyncio.gather(*running, return_exceptions=True)
            finally:
                self._end_threads()
        self._stop.clear()
        self._meeting.reset()
        return _results(ended)

    def _end_threads(self) -> None:
        self._stop.set()
        self._meeting.abort()


def _results(ended: list[T | BaseException]) -> list[T]:
    errors = [each for each in ended if isinstance(each, BaseException)]
    for error in sorted(errors, key=lambda each: isinstance(each, _StoppedError)):
        if isinstance(error, _StoppedError):
            raise TransportError("the threads did not come to the same point in time")
        raise error
    return [each for each in ended if not isinstance(each, BaseException)]


def _check_ports(port: int, count: int) -> None:
    if port + count - 1 > PORT_MAX:
        raise ConfigError(
            f"{count} queues need the ports from {port} on, and {PORT_MAX} is the last"
        )
