"""What is in a ring still when its other end is gone: answers, and what was said of calls."""

import logging
from typing import Final

from machnet_rpc._aio.port import Port

BURSTS_MAX: Final = 4096  # from a peer that is gone, or pretends to be

log: Final = logging.getLogger("machnet_rpc")


def take_rest(port: Port) -> None:
    """Takes what was sent before the other end closed."""
    try:
        for _ in range(BURSTS_MAX):
            if not port.receive():
                break
    except Exception as error:  # noqa: BLE001 (it ends anyway)
        log.warning("%r: %s", port, error)


def take_answers(ports: list[Port]) -> None:
    """The same where calls are under way, of all ports of an engine that is gone.

    Requests have nobody to be answered to any more.
    """
    for port in tuple(ports):
        if any(connection.outgoing for connection in port.connections.values()):
            take_rest(port)
