"""What a server had started, as it is read when that server, or the way to it, is gone.

Source: docs/channel.md §8, `struct te_starts`
"""

import struct
from collections.abc import Iterable
from typing import Final

from machnet_rpc._protocol.calls import HEARD_NEVER, HEARD_NOTHING, HEARD_STARTED, OutgoingCall
from transport_engine._native import lib

WORDS: Final[int] = lib.TE_STARTS_WORDS
_WORD_CALLS: Final = 32  # two bits each
_LAYOUT: Final = struct.Struct(f"<{1 + WORDS}Q")
SIZE: Final = _LAYOUT.size


class Starts:
    """The last word of one flow: nothing more will start there. Errors: ValueError if malformed."""

    def __init__(self, payload: bytes) -> None:
        if len(payload) != SIZE:
            raise ValueError(f"{len(payload)} bytes are no last word, which has {SIZE}")
        self._newest, *self._words = _LAYOUT.unpack(payload)

    def __repr__(self) -> str:
        return f"<Starts up to {self._newest}>"

    def heard(self, call_id: int) -> int:
        """What is now known of a call (HEARD_*); HEARD_NOTHING where it is too old."""
        if call_id > self._newest:
            return HEARD_NEVER
        word, place = divmod(call_id, _WORD_CALLS)
        if word + WORDS <= self._newest // _WORD_CALLS:
            return HEARD_NOTHING
        state: int = self._words[word % WORDS] >> 2 * place & 3
        return HEARD_NEVER if state == HEARD_NOTHING else state

    def tell(self, calls: Iterable[OutgoingCall]) -> None:
        """Lets calls know, but those that the server itself has said to be started."""
        for call in calls:
            heard = self.heard(call.call_id)
            if heard != HEARD_NOTHING and call.heard != HEARD_STARTED:
                call.heard = heard
