"""The flows of one link that are being opened, by the tokens that the engine gives back."""

import asyncio
import itertools
import logging
from collections.abc import Callable
from typing import Final

from machnet_rpc._protocol.connection import Connection
from machnet_rpc._repetitions import repetitions
from machnet_rpc._transports.base import Link

log: Final = logging.getLogger("machnet_rpc")


class FlowRefused(Exception):
    """A flow could not be opened. `reason` is an enum te_reason."""

    def __init__(self, reason: int) -> None:
        super().__init__(reason)
        self.reason = reason


class Openings:
    """Thread: the event loop's."""

    def __init__(self) -> None:
        self._answers: dict[int, asyncio.Future[Connection]] = {}
        self._tokens = itertools.count(1)

    def __repr__(self) -> str:
        return f"<Openings: {len(self._answers)} under way>"

    async def open(self, link: Link, address: str, on_asked: Callable[[], None]) -> Connection:
        """Asks for a flow to "host:port", and waits for the answer.

        Errors: FlowRefused, TransportError.
        """
        token = next(self._tokens)
        answer: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._answers[token] = answer
        try:
            await link.connect(address, token)
            on_asked()
            return await answer
        finally:
            self._answers.pop(token, None)
            if answer.done() and not answer.cancelled():
                answer.exception()  # or the loop reports it, where the link failed before

    def opened(self, token: int, connection: Connection, narrow_mtu_bytes: int) -> None:
        """A flow that was asked for is open, and closed again if whoever asked has given up.

        `narrow_mtu_bytes` is of the longest IP packet on a way that lost longer ones; else 0.
        """
        if narrow_mtu_bytes:
            _warn(connection.peer, narrow_mtu_bytes)
        answer = self._answers.pop(token, None)
        if answer is None or answer.done():
            connection.close()
        else:
            answer.set_result(connection)

    def refused(self, token: int, reason: int) -> bool:
        """A flow was not opened; whether it was one of these."""
        answer = self._answers.pop(token, None)
        if answer is not None and not answer.done():
            answer.set_exception(FlowRefused(reason))
        return answer is not None

    def fail(self, error: Exception) -> None:
        """None will be opened any more."""
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(error)


def _warn(peer: str, mtu_bytes: int) -> None:
    words = f"on the way to {peer} packets of more than {mtu_bytes} bytes are lost without a word"
    if repetitions.is_shown(words):
        log.warning("%s: this flow has shorter ones; `mtu_bytes` spares it the tries", words)
