"""The built-in service that says what of a flow that was cut the server had started.

When an engine is killed, its server and the callers live on, and find each other by another flow.
When a server is killed with the engine, the next one knows what it left (docs/channel.md §8).
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from machnet_rpc._protocol.connection import Connection
from machnet_rpc.errors import NotFound
from machnet_rpc.service import rpc, service

NAME: Final = "mrpc.fates"
TIMEOUT_SECONDS: Final = 3.0  # in which an engine is started again, and all are back
KEPT_MAX: Final = 1024  # of flows that have ended


@service(NAME)
class FatesContract:
    """What clients ask by themselves."""

    @rpc(timeout=TIMEOUT_SECONDS, idempotent=True)
    async def last_word(self, flow: int) -> bytes:
        """What was started of a flow, which ends if it has not (docs/wire.md §6, last word).

        `flow` is the number that both ends of it know, and nobody else. Errors: NotFound.
        """
        raise NotImplementedError


class Fates(FatesContract):
    """Answers for the latest flows of one server. Thread: the event loop's."""

    def __init__(
        self, cut: Callable[[Connection], None], left_word: Callable[[int], bytes]
    ) -> None:
        """`cut` ends a flow that is open; `left_word` is what servers before this one left."""
        self._cut = cut
        self._left_word = left_word
        self._open: dict[int, Connection] = {}
        self._words: OrderedDict[int, bytes] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Fates of {len(self._words)} flows>"

    def watch(self, connection: Connection) -> None:
        """A flow has been opened."""
        if connection.number:
            self._open[connection.number] = connection
            connection.on_ended = self.keep

    def keep(self, connection: Connection, word: bytes) -> None:
        """A flow has ended, and nothing will start there."""
        self._open.pop(connection.number, None)
        if not word:
            return
        self._words[connection.number] = word
        if len(self._words) > KEPT_MAX:
            self._words.popitem(last=False)

    @rpc
    async def last_word(self, flow: int) -> bytes:
        cut = self._open.get(flow)
        if cut is not None:
            self._cut(cut)
        word = self._words.get(flow) or self._left_word(flow)
        if not word:
            raise NotFound("the server knows no such flow")
        return word
