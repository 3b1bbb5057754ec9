"""Who may do what with a sidecar: tenants, by what the kernel says of a socket's other end.

Pure but for the questions to the kernel: a decision is nothing, or an error whose sentence names
the line of the policy that decides. Rates, weights and memory are the engine's to enforce.
"""

import errno
import os
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from transport_engine.config import Quotas, SidecarConfig, TenantConfig
from transport_engine.endpoint import Endpoint, packed_address, unpacked_address
from transport_engine.engine import ShareTerms
from transport_engine.errors import ConfigError, ForbiddenError, NoRoomError, QuotaError
from transport_engine.ports import ALL, NONE, Ports

OWNER: Final = "owner"  # the tenant of root and the engine's own user, where no other names them
_UCRED: Final = struct.Struct("iII")  # struct ucred, unix(7)
_GID_BYTES: Final = 4
_GROUPS_MAX: Final = 65536  # NGROUPS_MAX, credentials(7)
_SO_PEERGROUPS: Final = 59  # asm-generic/socket.h; Python knows neither
_SO_PEERPIDFD: Final = 77
_SHOWN_MAX: Final = 4  # networks in one sentence
_MESSAGES_HELD_MIN: Final = 4  # of the longest: what arrives has a quarter of a tenant's memory
_NO_LIMITS: Final = ShareTerms()
_NO_QUOTAS: Final = Quotas()


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end of a UNIX socket, as it was when it connected."""

    pid: int
    uid: int
    gid: int
    groups: frozenset[int] = field(default=frozenset(), compare=False)

    @classmethod
    def of(cls, connection: socket.socket) -> "Peer":
        """Asks the kernel (SO_PEERCRED, SO_PEERGROUPS)."""
        option = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        pid, uid, gid = _UCRED.unpack(option)
        return cls(pid, uid, gid, _groups_of(connection))

    def __str__(self) -> str:
        return f"process {self.pid} of user {self.uid}"


def _groups_of(connection: socket.socket) -> frozenset[int]:
    room = _GID_BYTES * 64
    while room <= _GID_BYTES * _GROUPS_MAX:
        try:
            packed = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, room)
        except OSError as error:
            if error.errno != errno.ERANGE:
                return frozenset()  # an old kernel: the primary group has to do
            room *= 4
        else:
            return frozenset(struct.unpack(f"{len(packed) // _GID_BYTES}I", packed))
    return frozenset()


def pidfd_of(connection: socket.socket) -> int | None:
    """A descriptor that becomes readable when the process that connected has ended.

    Owner: the caller's. None where the kernel has none to give (before Linux 6.5).
    Errors: ProcessLookupError, it has ended; NoRoomError, no descriptor is left for it.
    """
    try:
        option = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD, 4)
    except OSError as error:
        if error.errno in (errno.ESRCH, errno.ENODATA):
            raise ProcessLookupError(errno.ESRCH, "it has ended") from error
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise NoRoomError(f"the engine has no descriptors left: {error.strerror}") from error
        return None
    (descriptor,) = struct.unpack("i", option)
    return int(descriptor)


@dataclass(frozen=True, slots=True)
class Peers:
    """Where a tenant may connect to: a network, and ports there."""

    network: IPv4Network | IPv6Network
    ports: Ports

    def __contains__(self, remote: Endpoint) -> bool:
        # An IPv4 address may come as ::ffff:a.b.c.d; the engine knows no difference.
        address = unpacked_address(packed_address(remote.address))
        return address in self.network and remote.port in self.ports

    def __str__(self) -> str:
        return f"{self.network} ports {self.ports}"


@dataclass(frozen=True, slots=True)
class Tenant:
    """What one tenant may do. `line` is where the policy says so."""

    name: str
    line: str
    share: int
    listen: Ports = NONE
    reach: tuple[Peers, ...] = ()
    quotas: Quotas = _NO_QUOTAS
    terms: ShareTerms = _NO_LIMITS
    direct: bool = True

    def check_attach(self, channels: int) -> None:
        """Whether it may have one more channel than it has.

        Errors: QuotaError.
        """
        if self.quotas.channels is not None and channels >= self.quotas.channels:
            raise QuotaError(
                f'tenant "{self.name}" has {channels} channels, which is all that '
                f"{self.line}.quotas.channels allows: close one, or {_ask('raise it')}"
            )

    def check_listen(self, port: int) -> None:
        """Whether it may listen on a port; 0 stands for any of those that it may.

        Errors: ForbiddenError.
        """
        if port in self.listen or (port == 0 and self.listen.ranges):
            return
        raise ForbiddenError(
            f'tenant "{self.name}" may not listen on {f"port {port}" if port else "any port"}: '
            f"{self.line}.listen is {self.listen}; {_ask('add the port there')}"
        )

    def check_connect(self, remote: Endpoint) -> None:
        """Whether it may open a flow to an endpoint.

        Errors: ForbiddenError.
        """
        if any(remote in peers for peers in self.reach):
            return
        shown = "; ".join(str(peers) for peers in self.reach[:_SHOWN_MAX]) or "empty"
        more = len(self.reach) - _SHOWN_MAX
        raise ForbiddenError(
            f'tenant "{self.name}" may not reach {remote}: {self.line}.reach is {shown}'
            f"{f' and {more} more' if more > 0 else ''}; {_ask('add the peer there')}"
        )

    def why_not_direct(self) -> str | None:
        """Why its messages may not pass beside the engine; None: they may."""
        if not self.direct:
            return f'{self.line}.direct is false for tenant "{self.name}"'
        for name in ("messages_per_second", "bytes_per_second"):
            if getattr(self.quotas, name) is not None:
                return (
                    f'tenant "{self.name}" has {self.line}.quotas.{name}, which only the engine '
                    "can hold it to"
                )
        return None

    def no_more_flows(self) -> QuotaError:
        """What to say when the engine opens no more flows for it."""
        return QuotaError(
            f'tenant "{self.name}" has all the flows that {self.line}.quotas.flows allows, '
            f"{self.quotas.flows}: close some, or {_ask('raise it')}"
        )


def _ask(what: str) -> str:
    return f"ask who runs this engine to {what}"


@dataclass(frozen=True, slots=True)
class Policy:
    """The tenants of an engine, and what is the same for all users."""

    owner: Tenant
    owner_uids: frozenset[int]
    tenants: tuple[Tenant, ...]
    by_uid: Mapping[int, Tenant]
    by_gid: Mapping[int, Tenant]
    connections_per_uid_max: int
    ring_bytes_max: int
    messages_per_second_max: int
    direct: bool
    direct_ring_bytes: int
    direct_ends_max: int

    @classmethod
    def of(cls, config: SidecarConfig) -> "Policy":
        """What a configuration allows.

        Errors: ConfigError, for memory that the engine has not got.
        """
        memory = _memory_of(config)
        services = config.service_ports
        tenants = tuple(
            _tenant(index, tenant, services, memory[index + 1])
            for index, tenant in enumerate(config.tenants)
        )
        pairs = list(zip(config.tenants, tenants, strict=True))
        return cls(
            owner=Tenant(
                OWNER, "tenants", 0, ALL, _EVERYWHERE, terms=ShareTerms(memory_bytes=memory[0])
            ),
            owner_uids=frozenset((0, os.geteuid())),
            tenants=tenants,
            by_uid={uid: tenant for said, tenant in pairs for uid in said.uids},
            by_gid={gid: tenant for said, tenant in pairs for gid in said.gids},
            connections_per_uid_max=config.control.connections_per_uid_max,
            ring_bytes_max=config.control.ring_bytes_max,
            messages_per_second_max=config.control.messages_per_second_max,
            direct=config.control.direct,
            direct_ring_bytes=config.control.direct_ring_bytes,
            direct_ends_max=config.control.direct_ends_max,
        )

    def tenant_of(self, peer: Peer) -> Tenant:
        """Whose channels a process has: by its user, else by its groups in the policy's order.

        Errors: ForbiddenError.
        """
        if peer.uid in self.by_uid:
            return self.by_uid[peer.uid]
        if peer.uid in self.owner_uids:
            return self.owner
        for gid, tenant in self.by_gid.items():
            if gid == peer.gid or gid in peer.groups:
                return tenant
        raise ForbiddenError(
            f"user {peer.uid} may not use this engine: neither the user nor one of its groups is "
            f"in the uids or gids of [[tenants]]; {_ask('add one')}"
        )

    def check_ring(self, ring_bytes: int) -> None:
        """Whether a channel may have rings of a size.

        Errors: ForbiddenError.
        """
        if ring_bytes > self.ring_bytes_max:
            raise ForbiddenError(
                f"rings of {ring_bytes} bytes are more than control.ring_bytes_max allows, "
                f"{self.ring_bytes_max}: ask for smaller ones, or {_ask('raise it')}"
            )


_EVERYWHERE: Final = tuple(Peers(ip_network(text), ALL) for text in ("0.0.0.0/0", "::/0"))


def _tenant(
    index: int, said: TenantConfig, services: dict[str, Ports], memory_bytes: int
) -> Tenant:
    return Tenant(
        name=said.name,
        line=f"tenants[{index}]",
        share=index + 1,
        listen=Ports.parse(said.listen, services),
        reach=tuple(
            Peers(peers.network, Ports.parse(peers.ports, services)) for peers in said.reach
        ),
        quotas=said.quotas,
        direct=said.direct,
        terms=ShareTerms(
            memory_bytes=memory_bytes,
            bytes_per_second=said.quotas.bytes_per_second or 0,
            messages_per_second=said.quotas.messages_per_second or 0,
            flows_max=said.quotas.flows or 0,
            weight=said.weight,
        ),
    )


def _memory_of(config: SidecarConfig) -> list[int]:
    """Bytes of the pool for the owner and each tenant; what no quota names goes by weight."""
    if not config.tenants:
        return [0]
    c_config, _ = config.engine.into_c()
    said = [None, *(tenant.quotas.memory_bytes for tenant in config.tenants)]
    weights = [1, *(tenant.weight for tenant in config.tenants)]
    left = c_config.pool_bytes - sum(memory or 0 for memory in said)
    total = sum(weight for weight, memory in zip(weights, said, strict=True) if memory is None)
    parts = [
        memory if memory is not None else left * weight // total
        for weight, memory in zip(weights, said, strict=True)
    ]
    cores = max(1, len(config.engine.cores))  # each has its part
    least = _MESSAGES_HELD_MIN * c_config.message_bytes_max * cores
    for index, part in enumerate(parts):
        if part < least:
            whose = f"tenants[{index - 1}]" if index > 0 else "the engine's own user"
            raise ConfigError(
                f"{whose} has {max(part, 0)} bytes of the {c_config.pool_bytes} in "
                f"engine.limits.pool_bytes, which is less than {_MESSAGES_HELD_MIN} messages of "
                f"engine.limits.message_bytes_max, {c_config.message_bytes_max}"
                f"{f', on each of {cores} cores' if cores > 1 else ''}: raise the pool, "
                "lower the message, or change quotas.memory_bytes"
            )
    return parts


def described(policy: Policy) -> list[str]:
    """One sentence for each tenant."""
    users: dict[str, list[str]] = {}
    for word, whose in (("user", policy.by_uid), ("group", policy.by_gid)):
        for number, tenant in whose.items():
            users.setdefault(tenant.name, []).append(f"{word} {number}")
    free = sorted(policy.owner_uids - policy.by_uid.keys())
    users[OWNER] = [f"user {uid}" for uid in free] or ["nobody"]
    return [_described(tenant, users[tenant.name]) for tenant in (policy.owner, *policy.tenants)]


def _described(tenant: Tenant, users: list[str]) -> str:
    reach = "; ".join(str(peers) for peers in tenant.reach) or "nobody"
    limits = [f"weight {tenant.terms.weight}"]
    if tenant.terms.memory_bytes:
        limits.append(f"{tenant.terms.memory_bytes >> 20} MiB")
    limits += [
        f"{name} {value}" for name, value in tenant.quotas if value and name != "memory_bytes"
    ]
    return (
        f"{tenant.name} ({', '.join(users)}) listens on {tenant.listen}, reaches {reach}, "
        f"has {', '.join(limits)}"
    )
