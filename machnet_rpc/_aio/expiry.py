"""The end of calls whose deadline has passed. Does not know how time is kept."""

from collections.abc import Callable

from machnet_rpc._protocol.calls import IncomingCall, OutgoingCall
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._protocol.events import Event


def expire(calls: list[OutgoingCall | IncomingCall], on_event: Callable[[Event], None]) -> None:
    """Tells of each; what a signal's handler raises meanwhile has it done again, by their timers.

    Errors: whatever `on_event` raises.
    """
    for call in calls:
        connection: Connection = call.connection
        try:
            event = connection.expire(call)
            if event is not None:
                on_event(event)
        except BaseException:
            connection.restore(call)
            raise
