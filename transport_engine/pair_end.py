"""An application's ends of pairs, each from the moment that it is mapped until it is given back.

Does not know what is said on them.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable

from transport_engine import messages
from transport_engine.channel import Channel
from transport_engine.control_client import DESCRIPTORS, ControlClient, close_all
from transport_engine.errors import EngineGoneError, TransportError

log: logging.Logger = logging.getLogger("transport_engine.attach")


class PairEnd:
    """A channel to another application of the same engine.

    Owner: who has it closes it; the attachment closes those that are left.
    """

    def __init__(
        self, number: int, channel: Channel, on_closed: Callable[["PairEnd"], None]
    ) -> None:
        self.number = number
        self.channel = channel
        self.remote = ""  # "host:port" of the other side
        self.message_bytes_max = 0
        self._on_closed = on_closed

    def __repr__(self) -> str:
        return f"<PairEnd {self.number} to {self.remote or 'nobody yet'} {self.channel!r}>"

    def end(self) -> None:
        """Makes this side see the other as gone; what was sent can still be received.

        The other side sees this one as gone once it is closed, and so takes nothing more.
        """
        if self.channel.closed:
            return
        with socket.socket(fileno=os.dup(self.channel.fileno())) as doorbell:
            doorbell.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        """Unmaps it and gives it back to the engine. A second call does nothing."""
        if not self.channel.closed:
            self.channel.close()
            self._on_closed(self)


class PairEnds:
    """All of one attachment. Thread: the event loop's.

    Owner: `on_pair` gets those that others asked for; without it they are given back.
    """

    def __init__(self, client: ControlClient) -> None:
        self.on_pair: Callable[[PairEnd], None] | None = None
        self._client = client
        self._ends: dict[int, PairEnd] = {}
        self._accepting: set[asyncio.Task[None]] = set()
        client.on_event = self._on_event

    def __repr__(self) -> str:
        return f"<PairEnds: {len(self._ends)}>"

    async def take(self, number: int, descriptors: list[int]) -> PairEnd:
        """Maps the end that was asked for, and waits until it may be used.

        Errors: TransportError; EngineGoneError only if the engine is gone.
        """
        return await self._confirmed(self._mapped(number, descriptors, accepts=False))

    def close(self) -> None:
        """Gives all of them back. A second call does nothing."""
        self.on_pair = None
        for task in tuple(self._accepting):
            task.cancel()
        for end in tuple(self._ends.values()):
            end.close()

    def _on_event(self, event: str, number: int, descriptors: list[int]) -> None:
        if event == "pair":
            try:
                end = self._mapped(number, descriptors, accepts=True)
            except TransportError as error:
                log.warning("no pair with a caller: %s", error)
                return
            task = asyncio.get_running_loop().create_task(self._accept(end))
            self._accepting.add(task)
            task.add_done_callback(self._accepting.discard)
            return
        close_all(descriptors)
        if number in self._ends:
            self._ends[number].end()

    async def _accept(self, end: PairEnd) -> None:
        try:
            await self._confirmed(end)
        except TransportError as error:
            log.info("no pair with a caller: %s", error)
            return
        if self.on_pair is None:
            end.close()
        else:
            self.on_pair(end)

    def _mapped(self, number: int, descriptors: list[int], *, accepts: bool) -> PairEnd:
        try:
            if len(descriptors) != DESCRIPTORS:
                close_all(descriptors)
                raise TransportError("the engine's offer lacks the descriptors of a pair")
            channel = Channel(*descriptors, accepts=accepts)
        except TransportError:
            self._client.tell(messages.Unpair(id=self._client.next_id(), pair=number))
            raise
        end = self._ends[number] = PairEnd(number, channel, self._on_closed)
        return end

    async def _confirmed(self, end: PairEnd) -> PairEnd:
        request = messages.Mapped(id=self._client.next_id(), pair=end.number)
        try:
            about, _ = await self._client.ask(request)
        except BaseException:
            end.close()
            raise
        if end.channel.closed:
            raise EngineGoneError("this attachment was closed")
        end.remote = about["remote"]
        end.message_bytes_max = about["message_bytes_max"]
        return end

    def _on_closed(self, end: PairEnd) -> None:
        self._ends.pop(end.number, None)
        self._client.tell(messages.Unpair(id=self._client.next_id(), pair=end.number))
