"""The built-in service by which load balancers and probes learn whether a server wants calls.

It answers for each service by its name, and for the server as a whole by "".
Source: grpc/health/v1/health.proto and gRPC's health checking protocol, of which the statuses and
the meaning of `check` and `watch` are.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final, Literal, TypeAlias, get_args

from machnet_rpc.errors import NotFound
from machnet_rpc.service import rpc, service

NAME: Final = "mrpc.health"
WHOLE: Final = ""  # the server as a whole
WATCH_SECONDS: Final = 365 * 86400.0  # a watcher stays for as long as it likes

Status: TypeAlias = Literal["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"]
Settable: TypeAlias = Literal["UNKNOWN", "SERVING", "NOT_SERVING"]
_SETTABLE: Final[tuple[str, ...]] = get_args(Settable)


@service(NAME)
class HealthContract:
    """What `mrpc health` asks."""

    @rpc(idempotent=True)
    async def check(self, service: str = WHOLE) -> Status:
        """The status of a service, "": of the server. Errors: NotFound for one not known here."""
        raise NotImplementedError

    @rpc(timeout=WATCH_SECONDS)
    def watch(self, service: str = WHOLE) -> AsyncIterator[Status]:
        """The status at once, and then each change; SERVICE_UNKNOWN while it is not known here.

        Who reads slowly gets the latest. Ends when the server shuts down, after NOT_SERVING.
        """
        raise NotImplementedError


class Health(HealthContract):
    """What a server says of itself: `server.health.set("kv", "NOT_SERVING")`.

    All its services serve until it is told otherwise. Thread: the event loop's.
    """

    def __init__(self) -> None:
        self.is_draining: bool = False
        self._statuses: dict[str, Settable] = {WHOLE: "SERVING"}
        self._watchers: dict[str, set[asyncio.Future[None]]] = {}

    def __repr__(self) -> str:
        drains = " draining" if self.is_draining else ""
        return f"<Health {self._statuses}{drains}>"

    def set(self, service: str, status: Settable) -> None:
        """Says how a service is, "": the server; a name that is not known becomes so.

        While the server drains all are NOT_SERVING, whatever is said. Errors: ValueError.
        """
        if status not in _SETTABLE:
            raise ValueError(f"{status!r} is no status: set one of {', '.join(_SETTABLE)}")
        self._statuses[service] = status
        self._tell(service)

    def get(self, service: str = WHOLE) -> Status:
        """What `check` and `watch` say of a service; SERVICE_UNKNOWN of one not known here."""
        status = self._statuses.get(service)
        if status is None:
            return "SERVICE_UNKNOWN"
        return "NOT_SERVING" if self.is_draining else status

    def drain(self) -> None:
        """The server takes no new calls: all is NOT_SERVING, and who watches is told so, last."""
        self.is_draining = True
        for name in tuple(self._watchers):
            self._tell(name)

    def resume(self) -> None:
        """The server takes calls: all is as it was set."""
        self.is_draining = False

    @rpc
    async def check(self, service: str = WHOLE) -> Status:
        status = self.get(service)
        if status == "SERVICE_UNKNOWN":
            raise NotFound(
                f"there is no service {service!r} here",
                next_step='Ask for "", the server, or for a name that `mrpc ls` shows.',
            )
        return status

    @rpc
    async def watch(self, service: str = WHOLE) -> AsyncIterator[Status]:
        said: Status | None = None
        while True:
            status = self.get(service)
            if status != said:
                said = status
                yield status  # it may have changed once this returns
            elif self.is_draining:
                return
            else:
                await self._changed(service)

    async def _changed(self, service: str) -> None:
        watchers = self._watchers.setdefault(service, set())
        change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        watchers.add(change)
        try:
            await change
        finally:
            watchers.discard(change)
            if not watchers and self._watchers.get(service) is watchers:
                del self._watchers[service]

    def _tell(self, service: str) -> None:
        for change in self._watchers.get(service, ()):
            if not change.done():
                change.set_result(None)
