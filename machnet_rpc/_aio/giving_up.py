"""How the server is told of a call whose answer nobody waits for any more.

Does not know why: whoever awaited the call was cancelled, or its coroutine was closed.
"""

import contextlib

from machnet_rpc._protocol.calls import OutgoingCall


def give_up(call: OutgoingCall, reason: BaseException) -> None:
    """Cancels the call, since `reason` was raised where it was awaited; nothing if it has ended.

    Thread: the event loop's; where `reason` is a GeneratorExit any, since coroutines are closed
    by the garbage collector, too, in the midst of anything.
    """
    if type(reason) is not GeneratorExit:
        call.connection.cancel(call)
        return
    with contextlib.suppress(RuntimeError):  # the loop is closed, and the flow with it
        call.get_loop().call_soon_threadsafe(call.connection.cancel, call)
