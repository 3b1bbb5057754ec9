"""An IP address with a UDP port, as people write it and as the engine stores it."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from transport_engine._native import ffi

PORT_MAX = 65535


def packed_address(address: IPv4Address | IPv6Address) -> bytes:
    """TE_ADDRESS_BYTES bytes; an IPv4 address as ::ffff:a.b.c.d."""
    if isinstance(address, IPv6Address):
        return address.packed
    return bytes(10) + b"\xff\xff" + address.packed


def unpacked_address(packed: bytes) -> IPv4Address | IPv6Address:
    """The inverse of `packed_address`."""
    address = IPv6Address(packed)
    return address.ipv4_mapped or address


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a flow ends, or a listener listens."""

    address: IPv4Address | IPv6Address
    port: int

    def __post_init__(self) -> None:
        if not 0 <= self.port <= PORT_MAX:
            raise ValueError(f"port {self.port} is not from 0 to {PORT_MAX}")

    @classmethod
    def parse(cls, text: str) -> "Endpoint":
        """Reads "10.0.0.2:7000" or "[::1]:7000".

        Errors: ValueError.
        """
        host, colon, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if not colon or bracketed != (":" in host):
            raise ValueError(f"{text!r} is not an endpoint such as 10.0.0.2:7000 or [::1]:7000")
        if not (port.isascii() and port.isdigit() and int(port) <= PORT_MAX):
            raise ValueError(f"{text!r} has no port from 0 to {PORT_MAX} after its last colon")
        try:
            address = ip_address(host.strip("[]"))
        except ValueError:
            raise ValueError(f"{text!r} has no IP address before its port") from None
        return cls(address, int(port))

    @classmethod
    def from_c(cls, endpoint: Any) -> "Endpoint":
        """Copies a `struct te_endpoint`."""
        return cls(unpacked_address(bytes(ffi.buffer(endpoint.address))), endpoint.port)

    def into_c(self, endpoint: Any) -> None:
        """Fills a `struct te_endpoint`."""
        ffi.memmove(endpoint.address, packed_address(self.address), len(endpoint.address))
        endpoint.port = self.port

    def __str__(self) -> str:
        host = f"[{self.address}]" if isinstance(self.address, IPv6Address) else str(self.address)
        return f"{host}:{self.port}"
