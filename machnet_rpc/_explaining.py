"""What a client asks its server about a call that failed. Does not know how calls are made."""

from typing import TYPE_CHECKING

from machnet_rpc._binding import MethodBinding
from machnet_rpc._calling import Target
from machnet_rpc._last_words import LastWords
from machnet_rpc._mismatch import Mismatches
from machnet_rpc._options import CallOptions
from machnet_rpc._protocol.calls import OutgoingCall
from machnet_rpc.errors import RpcError

if TYPE_CHECKING:
    from machnet_rpc.client import Client


class Explaining:
    """What was learnt so far. Thread: that of the client's event loop."""

    def __init__(self) -> None:
        self._mismatches = Mismatches()
        self._last_words = LastWords()

    async def explained(
        self,
        client: "Client",
        target: Target | MethodBinding,
        failure: RpcError,
        call: OutgoingCall,
        options: CallOptions,
    ) -> RpcError:
        """The failure, saying what the server can be asked about it; never another one."""
        if options.wait is not False:
            await self._last_words.learn(client, failure, call)
        if isinstance(target, MethodBinding):
            await self._mismatches.explained(client, target, failure, call)
        return failure
