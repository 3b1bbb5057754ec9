"""Middleware around the handlers of a server.

Knows how a handler is called. Does not know what middleware does, nor clients.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from machnet_rpc._aio.items import all_closed
from machnet_rpc._binding import MethodBinding
from machnet_rpc._protocol.calls import IncomingCall
from machnet_rpc.context import CURRENT, CurrentCall
from machnet_rpc.middleware import CallInfo, Middleware, Request, chained, named


class _Received(CallInfo):
    """At a server: what few middleware look at is found out when one does."""

    __slots__ = ("_address", "_incoming")

    _address: Callable[[], str]
    _incoming: IncomingCall

    @classmethod
    def of(
        cls, binding: MethodBinding, incoming: IncomingCall, address: Callable[[], str]
    ) -> "_Received":
        call = cls.__new__(cls)
        call.side = "server"
        call.method = binding.full_name
        call.kind = binding.kind
        call.peer = incoming.connection.peer
        call.deadline_ns = incoming.deadline_ns
        call.is_by_name = False
        call._incoming = incoming  # noqa: SLF001 (its own)
        call._address = address  # noqa: SLF001
        return call

    def __getattr__(self, name: str) -> Any:
        if name == "server":
            self.server = self._address()
            return self.server
        if name in ("metadata", "reply_metadata"):
            value = getattr(CurrentCall(self._incoming), name)
            setattr(self, name, value)
            return value
        raise AttributeError(name, name=name, obj=self)


def around(
    middleware: Sequence[Middleware],
    binding: MethodBinding,
    handler: Callable[..., Any],
    server: Callable[[], str],
) -> Callable[..., Any]:
    """A server's handler with its middleware around it; `server` says its address.

    Items that middleware makes of others end in the handler's task, whoever reads them.
    """
    requests = binding.requests

    def begin(
        request: Request, begun: Callable[..., Any], opened: list[Any] | None = None
    ) -> Awaitable[Any]:
        is_called = False

        def last(request: Request) -> Any:
            nonlocal is_called
            if is_called:
                raise RuntimeError(f"the middleware of {binding.full_name} called `next` twice")
            is_called = True
            if requests is not None and opened is not None:
                opened.append(request.get(requests.name))
            return begun(**request)

        incoming = CURRENT.get()
        assert incoming is not None  # within a handler's context
        call = _Received.of(binding, incoming, server)
        return chained(middleware, call, last, opened)(request)

    async def result(*args: Any, **kwargs: Any) -> Any:
        return await begin(named(binding, args, kwargs), handler)

    async def fed(*args: Any, **kwargs: Any) -> Any:
        opened: list[Any] = []
        try:
            return await begin(named(binding, args, kwargs), handler, opened)
        finally:
            await all_closed(opened)

    async def drained(*args: Any, **kwargs: Any) -> Any:
        opened: list[Any] = []

        async def given(**request: Any) -> Any:
            opened.append(handler(**request))
            return opened[-1]

        try:
            items = aiter(await begin(named(binding, args, kwargs), given, opened))
            opened.append(items)
            async for item in items:
                yield item
        finally:
            await all_closed(opened)

    if binding.gives_items:
        return drained
    return result if requests is None else fed
