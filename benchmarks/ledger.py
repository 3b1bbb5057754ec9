"""Where the time of one call goes: both ends over a pair of rings, in one process and one loop.

`python -m benchmarks.ledger` prints CPU per call for each end, and for what each end is made of,
measured alone. One process, so that nobody waits for anybody: what spinning costs is not in it.
Best of many short rounds, since others disturb a round, and nothing makes one faster.
"""

import asyncio
import gc
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from typing import Any, Final, NamedTuple

import uvloop

from benchmarks.documents import FIELDS, Order, OrderRecord, Orders, OrdersServer, OrderStruct
from benchmarks.rungs import Echo, EchoServer
from benchmarks.streams import ITEMS, Rows, RowsServer, counted, repeated
from machnet_rpc import rpc, service
from machnet_rpc._aio.dispatch import Dispatcher
from machnet_rpc._aio.flows import FlowKeeper
from machnet_rpc._aio.handler_task import HandlerTask
from machnet_rpc._aio.limits import Limits
from machnet_rpc._aio.pump import Pump
from machnet_rpc._native import crossing
from machnet_rpc._protocol.calls import IncomingCall
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._transports.base import Direct, Transport
from machnet_rpc._transports.channel_wire import ChannelWire
from machnet_rpc.client import Client, connect
from machnet_rpc.middleware import Middleware
from machnet_rpc.server import Server
from transport_engine.channel import Channel, PairMaker

RING_BYTES: Final = 1 << 20
MESSAGE_BYTES_MAX: Final = 1 << 20
FLOW: Final = 1
ROUNDS: Final = 60
CALLS_EACH: Final = 30  # of every caller, in a round
SIZE_BYTES: Final = 1024


@service("entries")
class Entries:
    """Arguments and results of the plain kinds."""

    @rpc(timeout=30.0)
    async def version(self, key: str) -> int:
        """Of the entry, which is a number."""
        raise NotImplementedError

    @rpc(timeout=30.0)
    async def put(self, key: str, value: bytes, version: int) -> None:
        """Forgets it."""
        raise NotImplementedError

    @rpc(timeout=30.0, idempotent="keyed")
    async def once(self, value: bytes) -> bytes:
        """The value; what has the same key is done once."""
        raise NotImplementedError


class EntriesServer(Entries):
    """Answers in one go."""

    @rpc
    async def version(self, key: str) -> int:
        return len(key)

    @rpc
    async def put(self, key: str, value: bytes, version: int) -> None:
        return None

    @rpc
    async def once(self, value: bytes) -> bytes:
        return value


class YieldingServer(EchoServer):
    """Gives way to others before it answers."""

    @rpc
    async def echo(self, payload: bytes) -> bytes:
        await asyncio.sleep(0)
        return payload


class WaitingServer(EchoServer):
    """Answers when something else is done."""

    @rpc
    async def echo(self, payload: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        waited = loop.create_future()
        loop.call_soon(waited.set_result, payload)
        answer: bytes = await waited
        return answer


class Kind(NamedTuple):
    """Calls of one method, always with the same arguments."""

    title: str
    contract: Any
    server: Callable[[], Any]
    name: str
    args: tuple[Any, ...]
    options: Mapping[str, Any] = {}  # as `using` has them


BYTES: Final = Kind("bytes there and back", Echo, EchoServer, "echo", (bytes(SIZE_BYTES),))
KINDS: Final = (
    BYTES,
    Kind("the same, the handler gives way", Echo, YieldingServer, "echo", BYTES.args),
    Kind("the same, the handler waits for a future", Echo, WaitingServer, "echo", BYTES.args),
    Kind("the same with metadata", Echo, EchoServer, "echo", BYTES.args, {"metadata": {"a": "b"}}),
    Kind("the same of a keyed method", Entries, EntriesServer, "once", BYTES.args),
    Kind("text there, a number back", Entries, EntriesServer, "version", ("key-1",)),
    Kind("three arguments, no result", Entries, EntriesServer, "put", ("key-1", bytes(64), 7)),
    Kind(
        "a msgspec struct there and back", Orders, OrdersServer, "struct", (OrderStruct(**FIELDS),)
    ),
    Kind("a dataclass there and back", Orders, OrdersServer, "record", (OrderRecord(**FIELDS),)),
    Kind(
        "the same fields as a dictionary, there and back", Echo, EchoServer, "document", (FIELDS,)
    ),
    Kind("a pydantic model there and back", Orders, OrdersServer, "model", (Order(**FIELDS),)),
)


class PairLink(ChannelWire):
    """A link whose other end is in this process, too."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel)
        self.transport = Transport("pair", "pair")
        self.address = "127.0.0.1"
        self.on_direct: Callable[[Direct], None] | None = None  # nobody does

    async def unlisten(self, port: int) -> None:
        """Nobody asks."""

    async def listen(self, port: int) -> int:
        return port

    def left_word(self, flow: int) -> bytes:
        return b""

    async def connect(self, address: str, token: int) -> None:
        """Its one flow is open."""

    async def straight(self, address: str, *, again: bool) -> None:
        """It is straight as it is."""

    async def close(self) -> None:
        self._channel.close()


class TimedPump(Pump):
    """Counts the time of its turns."""

    spent_ns = 0

    def _moved(self, now_ns: int, ends_ns: int) -> bool:
        began_ns = time.thread_time_ns()
        is_busy = super()._moved(now_ns, ends_ns)
        self.spent_ns += time.thread_time_ns() - began_ns
        return is_busy


def ends() -> tuple[Channel, Channel]:
    """Both ends of a pair."""
    maker = PairMaker(RING_BYTES)
    made: list[Channel] = []
    for accepts in (False, True):
        memory_fd, doorbell_fd = maker.descriptors(accepts=accepts)
        made.append(Channel(os.dup(memory_fd), os.dup(doorbell_fd), accepts=accepts))
    maker.close()
    return made[0], made[1]


class Nobody:
    """Owns a pump whose dispatcher does everything."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.on_request = dispatcher.desk

    def on_event(self, event: object) -> None:
        """Nothing stops a handler here."""

    def on_accepted(self, connection: Connection) -> None:
        """Its one flow is open."""

    def on_link_lost(self, error: Exception) -> None:
        """The program ends."""


async def _room(_: Connection) -> None:
    """There will be some in the next turn."""
    await asyncio.sleep(0)


def both(
    at_client: Sequence[Middleware] = (),
    at_server: Sequence[Middleware] = (),
    server: Callable[[], Any] = EchoServer,
) -> tuple[Client, TimedPump, TimedPump]:
    """A client whose calls a server in this loop answers, and the pumps of both."""
    near, far = ends()
    served = vars(Server(server(), middleware=at_server))
    ways = _room, served["_keyed"]
    routes, services, others = served["_routes"], served["_services"], served["_others"]
    dispatcher = Dispatcher(routes, services, Limits(), others, ways)
    serving = TimedPump(PairLink(far), Nobody(dispatcher))
    serving.port.open(FLOW, "client", MESSAGE_BYTES_MAX)
    client = connect("127.0.0.1:1", middleware=at_client)
    keeper: FlowKeeper = vars(client)["_keeper"]
    calling = TimedPump(PairLink(near), keeper)
    keeper.loop, keeper.pump = asyncio.get_running_loop(), calling
    keeper.connection = calling.port.open(FLOW, "server", MESSAGE_BYTES_MAX)
    return client, calling, serving


async def per_call(in_flight: int, kind: Kind = BYTES) -> tuple[float, float, float]:
    """Microseconds of the caller's turns, of the server's, and of everything."""
    client, calling, serving = both(server=kind.server)
    call = getattr(client.stub(kind.contract), kind.name).using(**kind.options)

    async def caller() -> None:
        for _ in range(CALLS_EACH):
            await call(*kind.args)

    best = [float("inf")] * 3
    calls = in_flight * CALLS_EACH
    for _ in range(ROUNDS):
        calling.spent_ns = serving.spent_ns = 0
        began_ns = time.process_time_ns()
        await asyncio.gather(*(caller() for _ in range(in_flight)))
        whole_ns = time.process_time_ns() - began_ns
        spent = (calling.spent_ns, serving.spent_ns, whole_ns)
        best = [min(before, ns / calls / 1e3) for before, ns in zip(best, spent, strict=True)]
    for pump in (calling, serving):
        pump.remove(pump.port)
        await pump.link.close()
    return best[0], best[1], best[2]


async def per_item() -> tuple[float, float]:
    """Microseconds of both ends, for each item of a server's stream, and of a client's."""
    client, *pumps = both(server=RowsServer)
    stub, row, best = client.stub(Rows), bytes(SIZE_BYTES), [float("inf")] * 2
    for _ in range(ROUNDS):
        began_ns = time.process_time_ns()
        async with stub.given(row) as given:
            assert await counted(given) == ITEMS
        between_ns = time.process_time_ns()
        assert await stub.taken(repeated(row)) == ITEMS
        spent = (between_ns - began_ns, time.process_time_ns() - between_ns)
        best = [min(before, ns / ITEMS / 1e3) for before, ns in zip(best, spent, strict=True)]
    for pump in pumps:
        pump.remove(pump.port)
        await pump.link.close()
    return best[0], best[1]


def alone(step: Callable[[], object], times: int = 2000) -> float:
    """Microseconds of one step, best of many rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        began_ns = time.perf_counter_ns()
        for _ in range(times):
            step()
        best = min(best, (time.perf_counter_ns() - began_ns) / times / 1e3)
    return best


async def parts() -> list[tuple[str, float]]:
    """Steps of a call, each measured alone."""
    loop, payload, context = asyncio.get_running_loop(), bytes(SIZE_BYTES), copy_context()
    near, far = ends()
    wheel, awaited = crossing.Deadlines(), dict[int, Any]()
    sender = crossing.Crossing(near.lend(int), 0, print, print)
    sender.is_watched = True
    taker = crossing.Crossing(far.lend(int), 0, print, print)
    flow = crossing.Flow(sender, FLOW, None, awaited, wheel)

    def request_and_take() -> None:
        call = flow.request(payload, 1, 1 << 62, 1, 0, None, 0, loop)
        del awaited[call.call_id]
        wheel.discard(call)
        taker.receive(0)

    async def handler() -> bytes:
        return payload

    def answered(task: HandlerTask) -> None:
        """The dispatcher would reply."""

    incoming = IncomingCall(1, 1, 1, None)

    def handle() -> None:
        HandlerTask(handler(), loop, context, answered, incoming).start()

    await asyncio.sleep(0)
    done = loop.create_future()

    def measure() -> None:  # where no task is current, as in a turn
        done.set_result(
            [
                (
                    "a call made, its request of 1 KiB into a ring and out of it",
                    alone(request_and_take),
                ),
                ("a handler's task, from its making to its end", alone(handle)),
                ("a context of its own", alone(context.copy)),
                ("a clock reading", alone(time.monotonic_ns)),
                ("a look at an empty ring", alone(lambda: taker.receive(0))),
            ]
        )

    loop.call_soon(measure)
    measured: list[tuple[str, float]] = await done
    near.close()
    far.close()
    return measured


async def main() -> None:
    """Prints the ledger."""
    gc.disable()
    print("| CPU per call of 1 KiB, µs | 32 in flight | 256 in flight |")
    print("|---|---:|---:|")
    columns = [await per_call(in_flight) for in_flight in (32, 256)]
    names = ("the caller's turns", "the server's turns", "both, and the event loop")
    for name, row in zip(names, zip(*columns, strict=True), strict=True):
        print(f"| {name} | {' | '.join(f'{figure:.2f}' for figure in row)} |")
    print("\n| both, and the event loop, 32 in flight | µs |\n|---|---:|")
    for kind in KINDS:
        print(f"| {kind.title} | {(await per_call(32, kind))[2]:.2f} |")
    given, taken = await per_item()
    print(f"| a stream's item of 1 KiB, the server's | {given:.2f} |")
    print(f"| a stream's item of 1 KiB, the client's | {taken:.2f} |")
    print("\n| of which, measured alone | µs |\n|---|---:|")
    for name, figure in await parts():
        print(f"| {name} | {figure:.2f} |")


if __name__ == "__main__":
    uvloop.run(main())
