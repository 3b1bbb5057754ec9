"""How an answer is waited for, and the server told where nobody waits for it any more.

Does not know why: whoever awaited the call was cancelled, or its coroutine was closed.
"""

import contextlib
from asyncio import CancelledError

from machnet_rpc._protocol.calls import OutgoingCall
from machnet_rpc._protocol.events import Failed, Refused


async def answer_of(call: OutgoingCall) -> bytes | Refused | Failed:
    """Waits for it, with what whoever called gave for the metadata of the reply."""
    try:
        answer: bytes | Refused | Failed = await call
    except (CancelledError, GeneratorExit) as reason:
        give_up(call, reason)
        raise
    finally:
        call.connection.reply_metadata.pop(call.call_id, None)
    return answer


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
