"""What a client holds of a call besides the call itself: whom it is for, and where it went."""

from typing import NamedTuple

from machnet_rpc._protocol.calls import OutgoingCall
from machnet_rpc._protocol.connection import Connection
from machnet_rpc.service import MethodOptions


class Target(NamedTuple):
    """What a call by name is for."""

    full_name: str
    method_id: int
    options: MethodOptions


class Begun(NamedTuple):
    """A call on its way."""

    call: OutgoingCall
    connection: Connection
