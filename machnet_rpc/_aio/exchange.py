"""A call whose answer is looked for right where it was made, without an event loop.

In C it is a Flow (machnet_rpc/csrc/exchange.c), which looks for a moment while it calls; this one
leaves all looking to `wait`. Does not know who may call when.
"""

import asyncio
import time
from typing import Any, Final, NamedTuple, Protocol

from machnet_rpc import _clock
from machnet_rpc._aio.belonging import Around
from machnet_rpc._protocol.calls import OutgoingCall
from machnet_rpc._protocol.connection import Connection
from transport_engine.errors import TransportError

IDLE_NS: Final = 10_000_000  # after which whoever sends looks at descriptors first


class Exchange(NamedTuple):
    """How a call is made whose answer is waited for outside of the event loop."""

    method_id: int
    timeout_ns: int
    lane: int
    priority: int
    loop: asyncio.AbstractEventLoop
    spin_ns: int


class Turns(Protocol):
    """A port."""

    @property
    def outbox(self) -> Any: ...

    @property
    def is_closed(self) -> bool: ...

    def turn(self) -> int: ...


class Exchanger:
    """For the calls of one connection. Thread: one at a time."""

    def __init__(self, port: Turns, connection: Connection) -> None:
        self._port = port
        self._connection = connection
        self._exchanged_ns = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def exchange(self, payload: bytes | memoryview, how: Exchange) -> bytes | OutgoingCall | None:
        """Makes a call: gives the result, or the call if that did not come at once.

        None where nothing was sent, since there is other work first.
        """
        now_ns = _clock.monotonic_ns()
        was_idle = now_ns - self._exchanged_ns > IDLE_NS
        self._exchanged_ns = now_ns
        self._loop = how.loop
        if was_idle or self._port.outbox or self._port.is_closed:
            return None
        deadline_ns = now_ns + how.timeout_ns
        return self._connection.request(
            payload, how.method_id, deadline_ns, now_ns, how.lane, how.priority, 0, how.loop
        )

    def wait(self, call: OutgoingCall, spin_ns: int) -> bytes | OutgoingCall:
        """Takes turns for a while, until the answer is there: the result, or the call."""
        late_ns = min(_clock.monotonic_ns() + spin_ns, call.deadline_ns)
        around = Around.now()
        try:
            around.give_way(self._loop)  # what comes besides the answer may want it
            while not call.done() and _clock.monotonic_ns() < late_ns:
                self._port.turn()
                time.sleep(0)  # the other end may be a thread of this process
        except TransportError:
            return call  # the pump's turn will meet it as well
        except BaseException:
            self._connection.cancel(call)
            raise
        finally:
            around.go_on()
        result: object = call.result() if call.done() else None
        return result if type(result) is bytes else call
