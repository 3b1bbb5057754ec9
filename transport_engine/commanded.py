"""What a control plane asks of an engine, so that tests can put another in its place."""

from collections.abc import Callable
from typing import Protocol

from transport_engine.endpoint import Endpoint
from transport_engine.engine import ShareTerms
from transport_engine.flows import FlowPage
from transport_engine.ports import Ports
from transport_engine.stats import Stats


class Commanded(Protocol):
    """An engine that runs elsewhere; each command waits for its completion."""

    on_quarantined: Callable[[int, str], None] | None

    @property
    def local(self) -> Endpoint: ...

    @property
    def driver(self) -> str: ...

    @property
    def message_bytes_max(self) -> int: ...

    @property
    def handshake_seconds_max(self) -> float: ...

    def attach_descriptors(self, ring_bytes: int, share: int) -> tuple[int, int, int]: ...

    def detach(self, channel: int) -> None: ...

    def listen(self, channel: int, port: int, among: Ports) -> int: ...

    def unlisten(self, channel: int, port: int) -> None: ...

    def connect(self, channel: int, remote: Endpoint, token: int) -> None: ...

    def set_share(self, share: int, terms: ShareTerms) -> int: ...

    def stats(self) -> Stats: ...

    def core_stats(self, core: int) -> Stats: ...

    def flows(self, first: int) -> FlowPage: ...

    def attend(self) -> None: ...

    def attend_fileno(self) -> int: ...
