"""What of a server outlives it, for the next one at its address, and what those before it left.

Knows which server notes what it starts where. Does not know what callers are told of it.
"""

import logging
from typing import Final

from machnet_rpc import _clock
from transport_engine.channel import Channel
from transport_engine.endpoint import Endpoint
from transport_engine.errors import TransportError
from transport_engine.starts_file import Predecessors, StartsFile

log: Final = logging.getLogger("machnet_rpc")


class Remains:
    """Of one link; nothing, before that listens. Thread: the event loop's."""

    def __init__(self, channel: Channel, *, beside: bool) -> None:
        """`beside`: an engine, which may live on, reads in the channel what was started."""
        self._channel = channel
        self._is_beside = beside
        self._predecessors: Predecessors | None = None
        self._file: StartsFile | None = None

    def __repr__(self) -> str:
        return f"<Remains {self._file!r} {self._predecessors!r}>"

    def begin(self, listened: Endpoint) -> None:
        """What is started is noted from now on where the next one that listens there finds it."""
        if self._predecessors is not None or _clock.is_virtual():
            return
        self._predecessors = Predecessors(listened)
        try:
            self._file = StartsFile(self._channel, listened, beside=self._is_beside)
        except (OSError, TransportError) as error:
            log.info("nobody will know what was started if %s is killed: %s", listened, error)

    def left_word(self, number: int) -> bytes:
        """What a server that listened there before had started of a flow, if that is known."""
        return b"" if self._predecessors is None else self._predecessors.word(number)

    def end(self, *, is_lost: bool) -> None:
        """The channel is closed; if the engine `is_lost`, callers may ask another server yet."""
        if self._file is not None and is_lost:
            self._file.leave()
        elif self._file is not None:
            self._file.close()
