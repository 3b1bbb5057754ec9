"""Who may attach to a sidecar, decided from what the kernel says of a socket's other end."""

import os
import socket
import struct
from dataclasses import dataclass
from typing import Final

from transport_engine.config import ControlConfig

_UCRED: Final = struct.Struct("iII")  # struct ucred, unix(7)


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end of a UNIX socket, when it connected."""

    pid: int
    uid: int
    gid: int

    @classmethod
    def of(cls, connection: socket.socket) -> "Peer":
        """Asks the kernel (SO_PEERCRED)."""
        option = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        return cls(*_UCRED.unpack(option))

    def __str__(self) -> str:
        return f"process {self.pid} of user {self.uid}"


@dataclass(frozen=True, slots=True)
class Policy:
    """The users that are let in: root, the engine's own, and those that are named."""

    uids: frozenset[int]
    connections_per_uid_max: int
    ring_bytes_max: int
    messages_per_second_max: int

    @classmethod
    def of(cls, config: ControlConfig) -> "Policy":
        """What a configuration allows."""
        return cls(
            uids=frozenset((0, os.geteuid(), *config.allow_uids)),
            connections_per_uid_max=config.connections_per_uid_max,
            ring_bytes_max=config.ring_bytes_max,
            messages_per_second_max=config.messages_per_second_max,
        )

    def allows(self, peer: Peer) -> bool:
        """Whether the peer may talk to the engine at all."""
        return peer.uid in self.uids
