"""Who may see which of an engine's flows: root and the engine's own user all, others their own."""

import os
from collections.abc import Iterable
from typing import Any, Protocol

from transport_engine.flows import FlowPage, packed
from transport_engine.policy import Peer, Tenant


class Onlooker(Protocol):
    """An application's session."""

    @property
    def peer(self) -> Peer: ...

    @property
    def tenant(self) -> Tenant: ...

    @property
    def channel(self) -> int | None: ...


def seen_by(asker: Onlooker, sessions: Iterable[Onlooker], page: FlowPage) -> dict[str, Any]:
    """What the control socket says of a page to one that asks; others' flows are left out."""
    if asker.peer.uid in (0, os.geteuid()):
        return packed(page)
    own = {each.channel for each in sessions if each.tenant is asker.tenant}
    flows, following = page
    return packed(([flow for flow in flows if flow.channel in own - {None}], following))
