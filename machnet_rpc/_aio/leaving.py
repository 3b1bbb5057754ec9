"""How a server leaves: its peers were told, and say so when none of their calls is under way.

Calls that a peer sent before it was told are answered as ever. Does not know why it leaves, nor
what is done about whoever does not.
"""

import asyncio
from typing import Final

from machnet_rpc._aio.dispatch import Dispatcher
from machnet_rpc._aio.pump import Pump

LOOK_SECONDS: Final = 0.002
SILENCE_SECONDS: Final = 0.5  # after which a peer without calls counts as one that does not listen


async def left(pump: Pump, dispatcher: Dispatcher, ends: float) -> None:
    """Returns when all peers are done, when none has had a call for a while, or at `ends`.

    Units: seconds, of the event loop's clock.
    """
    now = asyncio.get_running_loop().time
    silent_since = now()
    while not pump.is_dead and now() < ends:
        is_used = any(each.is_usable for each in pump.connections)
        if dispatcher.running:
            silent_since = now()
        elif not is_used or now() - silent_since > SILENCE_SECONDS:
            return
        await asyncio.sleep(LOOK_SECONDS)
