"""Links within one process, with the record semantics of an engine and no engine.

For tests of this package and of its users: bounded rings, refused connects, deaths. The links of a
network may belong to different threads.
"""

import itertools
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

from machnet_rpc._protocol import records
from machnet_rpc._protocol.records import FLOW, KIND, Head
from machnet_rpc._transports.address import joined
from machnet_rpc._transports.base import FOREVER_NS, READABLE, WRITABLE, Direct, Transport
from transport_engine._native import ffi, lib
from transport_engine.channel import RECORD
from transport_engine.endpoint import Endpoint
from transport_engine.errors import EngineGoneError, PortInUseError
from transport_engine.ports import FREE_PORT_FIRST

BURST_RECORDS: Final = 64
RING_BYTES: Final = 1 << 20


class MemoryNetwork:
    """Hosts that reach each other by "host:port"; what a link sends, its peer's link receives."""

    def __init__(self, ring_bytes: int = RING_BYTES) -> None:
        self.ring_bytes = ring_bytes
        self.lock: AbstractContextManager[object] = (
            threading.RLock()
        )  # held by whoever touches a link
        self._listeners: dict[str, MemoryLink] = {}
        self._ports_free = itertools.count(FREE_PORT_FIRST)

    def attach(self, host: str = "127.0.0.1") -> "MemoryLink":
        """A new link, as an application on `host` would get from its engine."""
        return MemoryLink(self, host)

    def listen(self, link: "MemoryLink", port: int) -> int:
        with self.lock:
            port = port or next(self._ports_free)
            name = joined(link.address, port)
            if name in self._listeners:
                raise PortInUseError(f"port {port} of {link.address} has a listener already")
            self._listeners[name] = link
            return port

    def connect(self, link: "MemoryLink", address: str, token: int) -> None:
        with self.lock:
            listener = self._listeners.get(address)
            if listener is None:
                link.put(_head(records.FLOW_CLOSED, 0, token, status=lib.TE_R_REFUSED))
                return
            port = next(self._ports_free)
            near, far = link.add_flow(), listener.add_flow()
            link.flows[near] = (listener, far)
            listener.flows[far] = (link, near)
            local = joined(link.address, port)
            opened, accepted = _ends(local, address), _ends(address, local)
            listener.put(_head(records.FLOW_ACCEPTED, far, 0, len(accepted)), accepted)
            link.put(_head(records.FLOW_OPENED, near, token, len(opened)), opened)

    def unlisten(self, link: "MemoryLink", port: int) -> None:
        with self.lock:
            name = joined(link.address, port)
            if self._listeners.get(name) is link:
                del self._listeners[name]

    def forget(self, link: "MemoryLink") -> None:
        with self.lock:
            self._listeners = {name: at for name, at in self._listeners.items() if at is not link}


class MemoryLink:
    """One application's end: an inbox of bounded size and a doorbell."""

    def __init__(self, network: MemoryNetwork, host: str) -> None:
        self.flows: dict[int, tuple[MemoryLink, int]] = {}
        self.address = host
        self.transport: Transport = Transport("memory", "memory")
        self.on_direct: Callable[[Direct], None] | None = None  # nobody does
        self._network = network
        self._inbox: deque[tuple[Head, bytes]] = deque()
        self._inbox_bytes = 0
        self._flow_indexes = itertools.count(1)
        self._senders_blocked: set[MemoryLink] = set()
        self._is_blocked = False
        self._is_dead = False
        self._armed = 0
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)

    def filenos(self) -> tuple[int]:
        return (self._near.fileno(),)

    def native(self) -> None:
        """Its records are Python's objects."""

    def work(self) -> int:
        self._check_alive()
        return 0

    def send(self, burst: bytes) -> int:
        with self._network.lock:
            self._check_alive()
            at = 0
            while at < len(burst):
                head = RECORD.unpack_from(burst, at)
                start = at + RECORD.size
                payload = burst[start : start + head[4]]
                if not self._route(head, payload):
                    break
                at = start + len(payload) + -len(payload) % lib.TE_RECORD_ALIGN
            return at

    def receive(self) -> list[tuple[Head, bytes]]:
        with self._network.lock:
            self._check_alive()
            inbox = self._inbox
            taken = [inbox.popleft() for _ in range(min(BURST_RECORDS, len(inbox)))]
            self._inbox_bytes -= sum(RECORD.size + len(payload) for _, payload in taken)
            if taken:
                blocked, self._senders_blocked = self._senders_blocked, set()
                for sender in blocked:
                    sender.unblock()
            return taken

    def untaken(self, *, is_over: bool) -> tuple[Head, ...]:
        return ()

    def last_word(self, flow: int) -> bytes:
        return b""

    def has_acked(self, flow: int, call_id: int) -> bool:
        return False

    def ring(self) -> None:
        """Nothing sleeps here: what is sent has arrived."""

    def arm(self, wake: int) -> int:
        with self._network.lock:
            self._check_alive()
            if self._inbox or (wake & WRITABLE and not self._is_blocked):
                return 0
            self._armed = wake
            return FOREVER_NS

    def awake(self) -> None:
        self._armed = 0
        while True:
            try:
                self._near.recv(64)
            except BlockingIOError:
                return

    async def listen(self, port: int) -> int:
        return self._network.listen(self, port)

    async def unlisten(self, port: int) -> None:
        self._network.unlisten(self, port)

    def left_word(self, flow: int) -> bytes:
        return b""  # what dies here, the test knows

    async def connect(self, address: str, token: int) -> None:
        self._check_alive()
        self._network.connect(self, address, token)

    async def straight(self, address: str, *, again: bool) -> None:
        """Its engine is nobody else's."""

    async def close(self) -> None:
        with self._network.lock:
            if not self._is_dead:
                self._end(lib.TE_R_PEER_CLOSED)
            self._armed = 0  # those by whom it waits for room know it still
            self._near.close()
            self._far.close()

    def die(self) -> None:
        """As if the engine had been killed: peers are told that it is dead, the owner finds out."""
        with self._network.lock:
            self._end(lib.TE_R_PEER_DEAD)
            self._wake(READABLE | WRITABLE)

    # -- for the network and other links --

    def add_flow(self) -> int:
        return next(self._flow_indexes)

    def put(self, head: Head, payload: bytes = b"") -> None:
        """Makes a record arrive; the engine's own are few, and so always have room."""
        self._inbox.append((head, payload))
        self._inbox_bytes += RECORD.size + len(payload)
        self._wake(READABLE)

    def has_room(self, sender: "MemoryLink") -> bool:
        if self._inbox_bytes < self._network.ring_bytes:
            return True
        self._senders_blocked.add(sender)
        return False

    def unblock(self) -> None:
        self._is_blocked = False
        self._wake(WRITABLE)

    def end_flow(self, flow: int, reason: int) -> None:
        if self.flows.pop(flow, None) is not None:
            self.put(_head(records.FLOW_CLOSED, flow, 0, status=reason))

    def _route(self, head: Head, payload: bytes) -> bool:
        peer = self.flows.get(head[FLOW])
        if peer is None:
            return True  # the flow ended while the record was under way
        link, flow = peer
        if head[KIND] == records.FLOW_CLOSE:
            self.end_flow(head[FLOW], lib.TE_R_CLOSED)
            link.end_flow(flow, lib.TE_R_PEER_CLOSED)
            return True
        if not link.has_room(self):
            self._is_blocked = True
            return False
        link.put((*head[:FLOW], flow, *head[FLOW + 1 :]), payload)
        return True

    def _end(self, reason: int) -> None:
        self._is_dead = True
        self._network.forget(self)
        flows, self.flows = self.flows, {}
        for peer, flow in flows.values():
            peer.end_flow(flow, reason)
        for sender in self._senders_blocked:
            sender.unblock()

    def _wake(self, what: int) -> None:
        if self._armed & what:
            self._armed = 0
            self._far.send(b"!")

    def _check_alive(self) -> None:
        if self._is_dead:
            raise EngineGoneError("the memory network's link is dead")


def _head(kind: int, flow: int, call_id: int, size: int = 0, status: int = 0) -> Head:
    whole = records.WHOLE
    return (call_id, 0, 0, flow, size, 0, size, kind, whole, 0, 0, status, 0, 0)


def _ends(local: str, remote: str) -> bytes:
    ends = ffi.new("struct te_flow_ends *")
    Endpoint.parse(local).into_c(ends.local)
    Endpoint.parse(remote).into_c(ends.remote)
    ends.message_bytes_max = records.MESSAGE_BYTES_MAX
    return bytes(ffi.buffer(ends))
