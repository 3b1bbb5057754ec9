"""Why flows end, in words, and what a person can do about it."""

from typing import Final

from transport_engine._native import lib

NO_ANSWER: Final[int] = lib.TE_R_NO_ANSWER

_AGAIN: Final = "Try again if it was not executed, or its method is idempotent."

_REASONS: Final[dict[int, tuple[str, str]]] = {
    lib.TE_R_CLOSED: ("this side closed the flow", "Close a client when its calls have ended."),
    lib.TE_R_PEER_CLOSED: ("the peer closed the flow, or its process ended", _AGAIN),
    lib.TE_R_REFUSED: (
        "nobody listens on that port",
        "Start the server, or check the address.",
    ),
    NO_ANSWER: (
        "the handshake was never answered",
        "Check the address, the route and the firewall (UDP), and that an engine runs there.",
    ),
    lib.TE_R_PEER_DEAD: (
        "the peer stopped answering",
        "Check that its machine and its engine are up.",
    ),
    lib.TE_R_PEER_RESTARTED: (
        "the peer's engine does not know the flow any more: it was restarted, or had given it up",
        _AGAIN,
    ),
    lib.TE_R_ENGINE_STOPPED: (
        "the engine stopped",
        "Start it again (`mrpc engine`); the next call attaches to it.",
    ),
    lib.TE_R_VERSION: (
        "the two engines have no version of the wire protocol in common",
        "Upgrade the older one.",
    ),
    lib.TE_R_NO_RESOURCES: (
        "an engine has no memory or table entry left for the flow",
        "Raise flows_max, flows_per_peer_max (see peer_refusals) or pool_bytes there.",
    ),
    lib.TE_R_PROTOCOL: ("the peer broke the wire protocol", "Upgrade the older engine."),
    lib.TE_R_QUARANTINED: (
        "the engine cut this application off because its channel was corrupt",
        "This is a bug: please report it.",
    ),
    lib.TE_R_STALLED: (
        "a message was begun, and nothing more of it came for too long",
        "Find out what holds its sender up, or raise unfinished_seconds where it was awaited.",
    ),
    lib.TE_R_FORBIDDEN: (
        "the engine's policy does not allow it",
        "Ask whoever configures the engine for access.",
    ),
}
PERMANENT: Final[frozenset[int]] = frozenset(
    (lib.TE_R_VERSION, lib.TE_R_QUARANTINED, lib.TE_R_FORBIDDEN)
)
"""Reasons that will not go away by waiting."""


def sentence(reason: int) -> tuple[str, str]:
    """What happened, and the next step."""
    return _REASONS.get(reason, (f"the flow ended (reason {reason})", _AGAIN))
