"""Servers: implementations of contracts, checked when built, answering calls until they close."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Self, cast

from idl import SchemaError, differences
from idl.generics import types_of
from machnet_rpc._aio.backoff import Backoff
from machnet_rpc._aio.belonging import running_loop
from machnet_rpc._aio.dispatch import Dispatcher
from machnet_rpc._aio.keyed_handlers import keyed_handlers
from machnet_rpc._aio.leaving import left
from machnet_rpc._aio.limits import Limits, Route
from machnet_rpc._aio.pump import Pump
from machnet_rpc._aio.termination import termination
from machnet_rpc._around import around
from machnet_rpc._options import checked_grace
from machnet_rpc._protocol.calls import IncomingCall
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._protocol.events import Event, Stopped
from machnet_rpc._repetitions import repetitions
from machnet_rpc._replies import ReplyStore, checked_store
from machnet_rpc._transports.address import is_as_asked, joined, resolved
from machnet_rpc._transports.base import Link, Transport
from machnet_rpc._transports.ladder import SPIN, Reach, Require, Via, link_to
from machnet_rpc.errors import ContractError
from machnet_rpc.fates import Fates
from machnet_rpc.functions import Service
from machnet_rpc.health import Health
from machnet_rpc.middleware import Middleware, checked
from machnet_rpc.reflection import Reflection, describe
from machnet_rpc.service import Contract, Method, contract_of, resolve, wraps_method
from machnet_rpc.statistics import Observed, Statistics
from transport_engine.errors import TransportError

GRACE_SECONDS: Final = 10.0
UNLISTEN_SECONDS_MAX: Final = 1.0  # that an engine may take, which may have been stopped
LISTENS_ELSEWHERE: Final = (
    "this server listens in another event loop, where it has to be closed, too; from another "
    "thread: asyncio.run_coroutine_threadsafe(server.close(), loop)"
)

log: Final = logging.getLogger("machnet_rpc")


class Server:
    """Implementations behind one address.

    Errors: ContractError if one is not what its contract says, or two are the same service.
    """

    def __init__(
        self,
        *implementations: object,
        limits: Limits | None = None,
        replies: ReplyStore | None = None,
        middleware: Sequence[Middleware] = (),
    ) -> None:
        self.contracts: list[Contract] = []
        self._link: Link | None = None
        if not implementations:
            raise ContractError("a server needs an implementation of at least one service")
        given: Any = limits
        if given is not None and not isinstance(given, Limits):
            raise ContractError(f"limits={given!r} is no Limits: write Limits(handlers=100)")
        self._limits = limits or Limits()
        self._middleware = checked(middleware)
        self._routes: dict[int, Route] = {}
        self._others: dict[int, Route] = {}  # of methods that are keyed, or not unary
        self._services: dict[int, str] = {}
        self.health: Health = Health()
        for each in implementations:
            if isinstance(each, Server):
                raise ContractError(f"{each!r} is a Server already: `await server.listen(address)`")
            self._add(each.implementation if isinstance(each, Service) else each)
        for contract in self.contracts:
            self.health.set(contract.name, "SERVING")
        self._fates = Fates(self._cut, self._left_word)
        reflection = Reflection()
        self.statistics: Statistics = Statistics(self._observed)
        for built_in in (self._fates, self.health, reflection, self.statistics):
            self._add(built_in)
        reflection.description = describe(self.contracts)
        reflection.contracts = self.contracts
        self.statistics.routes = (*self._routes.values(), *self._others.values())
        self._pump: Pump | None = None
        self._dispatcher: Dispatcher | None = None
        self._reach = Reach()
        self._port = 0
        self._is_attaching = False
        self._reattaching: asyncio.Task[None] | None = None
        self._lost: Pump | None = None  # whose end that is for
        self._is_leaving = False
        self._loop: asyncio.AbstractEventLoop | None = None  # in which it listens
        self._keyed = keyed_handlers(self._limits, checked_store(replies))

    def __repr__(self) -> str:
        names = ", ".join(contract.name for contract in self.contracts) or "nothing"
        return f"<Server of {names} at {self.address or 'no address yet'}>"

    @property
    def address(self) -> str:
        """The "host:port" that clients connect to; empty before `listen`."""
        return joined(self._link.address, self._port) if self._link else ""

    @property
    def transport(self) -> Transport:
        """How calls reach this server. Errors: RuntimeError before `listen`."""
        if self._link is None:
            raise RuntimeError("the server does not listen yet")
        return self._link.transport

    @property
    def handlers_running(self) -> int:
        """How many calls are being answered now."""
        return self._dispatcher.running if self._dispatcher else 0

    async def listen(
        self, address: str, *, via: Via = None, require: Require = None, spin: float = SPIN
    ) -> None:
        """Starts to answer calls to "host:port"; port 0 takes a free one.

        `via`, `require` and `spin` are those of `connect`.

        Errors: AddressError, InvalidArgument (spin), TransportError (PortInUseError, NoEngineError
        and others).
        """
        if self._pump is not None or self._is_attaching:
            raise RuntimeError(f"{self!r} listens already")
        self._loop = running_loop()
        self._is_leaving = False
        self.health.resume()
        self._reach = Reach(via, require, spin)
        self._is_attaching = True
        try:
            await self._attach(address)
        finally:
            self._is_attaching = False

    async def until_terminated(self) -> None:
        """Returns at SIGTERM or SIGINT; the next one of them ends the process at once.

        Thread: the main one.
        """
        with termination() as came:
            await came.wait()

    async def close(self, grace: float = GRACE_SECONDS) -> None:
        """Leaves without a failed call, where `grace` seconds are enough for those under way.

        Who calls is told, and goes to whoever listens at this address next; what was sent before
        that is answered. Health is NOT_SERVING from now on. Being cancelled ends the grace.

        Errors: RuntimeError in another event loop than that in which it listens; InvalidArgument.
        """
        checked_grace(grace)
        if self._pump is not None and self._loop is not running_loop():
            raise RuntimeError(LISTENS_ELSEWHERE)
        self._is_leaving = True
        self.health.drain()
        if self._reattaching is not None:
            self._reattaching.cancel()
            await asyncio.wait([self._reattaching])
        pump, dispatcher, link = self._pump, self._dispatcher, self._link
        if pump is None or dispatcher is None or link is None:
            return
        ends = asyncio.get_running_loop().time() + grace
        try:
            if not pump.is_dead:  # else the engine is gone, and its ports with it
                with contextlib.suppress(TransportError, TimeoutError):
                    async with asyncio.timeout(UNLISTEN_SECONDS_MAX):
                        await link.unlisten(self._port)
            for connection in pump.connections:
                connection.go_away()
            await left(pump, dispatcher, ends)
            await dispatcher.drain(max(ends - asyncio.get_running_loop().time(), 0))
        finally:
            dispatcher.stop()
            await pump.close()
            self._pump = None
            repetitions.tell()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- for the pump --

    def on_event(self, event: Event) -> None:
        if isinstance(event, Stopped) and self._dispatcher is not None:
            self._dispatcher.on_stopped(event)

    @property
    def on_request(self) -> Callable[[IncomingCall, bytes], None]:
        assert self._dispatcher is not None
        return self._dispatcher.desk

    def on_accepted(self, connection: Connection) -> None:
        self._fates.watch(connection)
        if self._is_leaving:
            connection.go_away()

    def on_link_lost(self, error: TransportError) -> None:
        if not self._is_leaving and self._lost is not self._pump:
            self._lost = self._pump
            self._reattaching = asyncio.get_running_loop().create_task(self._reattach())
        log.error("%r lost its engine: %s", self, error)  # last: some handlers of logs raise

    async def _attach(self, address: str) -> None:
        host, port = await resolved(address)
        link = await link_to(host, self._reach, is_local=True)
        try:
            self._port = await link.listen(port)
            if self._is_leaving:  # meanwhile, by another task
                raise RuntimeError(f"{self!r} was closed before it listened")
        except BaseException:
            await link.close()
            raise
        self._reach = self._reach.again(link.transport)
        self._link = link
        if not is_as_asked(host, link.address):
            log.warning(
                "%s is not the engine's address: the server listens at %s", host, self.address
            )
        self._dispatcher = Dispatcher(
            self._routes,
            self._services,
            self._limits,
            self._others,
            (self._room, self._keyed),
        )
        lent = {each for each, route in self._routes.items() if route.binding.takes_view}
        self._pump = Pump(link, self, self._reach.spin, lent)

    def _cut(self, connection: Connection) -> None:
        if self._pump is not None:
            self._pump.cut(connection)

    def _left_word(self, flow: int) -> bytes:
        return b"" if self._link is None else self._link.left_word(flow)

    async def _room(self, connection: Connection) -> None:
        if self._pump is not None:
            await self._pump.room(connection)

    async def _reattach(self) -> None:
        address = self.address
        if self._pump is not None:
            await self._pump.close()
        backoff = Backoff()
        while True:
            try:
                await self._attach(address)
            except TransportError as error:
                if backoff.failures == 0:
                    log.info("%s cannot be served yet: %s", address, error)
            except Exception:
                log.exception("%s cannot be served yet", address)
            else:
                log.info("%r is back", self)
                return
            backoff.failed()
            await asyncio.sleep(backoff.pause_seconds())

    def _observed(self) -> Observed:
        """What its statistics say of the way to its clients."""
        link, pump = self._link, self._pump
        if link is None or pump is None or pump.is_dead:
            return Observed()
        native = link.native()
        engine = native[1] if native else None
        counters = {} if engine is None else engine.stats()
        flows = sum(1 for _ in pump.connections)
        return Observed(self.address, str(link.transport), flows, counters)

    def _add(self, implementation: object) -> None:
        kind = type(implementation)
        if isinstance(implementation, type):
            raise ContractError(f"pass an instance, {implementation.__name__}(), not the class")
        contract = resolve(kind)
        if contract_of(kind) is kind:
            raise ContractError(f"{kind.__name__} is a contract: serve what implements it")
        for base in kind.__mro__:
            if "__rpc_service__" in vars(base) and base not in contract.declaring.__mro__:
                raise ContractError(
                    f"{kind.__name__} implements {contract.declaring.__name__} and "
                    f"{base.__name__}: serve an object for each"
                )
        found = [
            sentence
            for name in contract.methods
            for sentence in _departures(contract, contract_of(kind), kind, name)
        ]
        if found:
            raise ContractError(f"{kind.__name__}: " + "; ".join(found))
        for name, binding in contract.methods.items():
            routes = self._routes if binding.is_plain else self._others
            other = self._routes.get(binding.method_id) or self._others.get(binding.method_id)
            if other is not None and other.binding.full_name == binding.full_name:
                raise ContractError(f"two implementations of {contract.name}: a server has one")
            if other is not None:
                raise ContractError(
                    f"{binding.full_name} and {other.binding.full_name} have one method id: "
                    "rename one"
                )
            handler = getattr(implementation, name)
            if self._middleware:
                handler = around(self._middleware, binding, handler, lambda: self.address)
            routes[binding.method_id] = Route(binding, handler)
            self._services[binding.method_id >> 32] = contract.name
        self.contracts.append(contract)


@asynccontextmanager
async def serve(
    implementations: object | Sequence[object],
    address: str,
    *,
    limits: Limits | None = None,
    replies: ReplyStore | None = None,
    middleware: Sequence[Middleware] = (),
    via: Via = None,
    require: Require = None,
    grace: float = GRACE_SECONDS,
    spin: float = SPIN,
) -> AsyncGenerator[Server, None]:
    """Serves one implementation, or a list of them, at "host:port" while the block runs.

    A block of `await server.until_terminated()` is a server that SIGTERM ends without a failed
    call; `grace` is for how many seconds calls may still take then. `replies` keeps those of keyed
    calls where the server's end does not forget them. `middleware` stands around every call, also
    of built-in services, its first the outermost.

    Errors: ContractError, AddressError, InvalidArgument (spin, grace), TransportError.
    """
    checked_grace(grace)
    every = several(implementations)
    server = Server(*every, limits=limits, replies=replies, middleware=middleware)
    await server.listen(address, via=via, require=require, spin=spin)
    try:
        yield server
    finally:
        await server.close(grace)


def several(implementations: object | Sequence[object]) -> Sequence[object]:
    """A list or tuple as it is, anything else as the only one."""
    if isinstance(implementations, list | tuple):
        return cast(Sequence[object], implementations)
    return [implementations]


def _departures(contract: Contract, declaring: type, kind: type, name: str) -> list[str]:
    for base in kind.__mro__[: kind.__mro__.index(declaring)]:
        if name not in vars(base):
            continue
        written: Any = vars(base)[name]
        function = written.function if isinstance(written, Method) else written
        if not callable(function):
            return [f"{name} must be a method"]
        if wraps_method(function):
            return [f"{name} has a decorator above @rpc: put @rpc on top"]
        try:
            return differences(contract.methods[name].schema, function, types_of(kind, base))
        except SchemaError as error:
            return [str(error)]
    return [f"{name} is missing"]
