"""Addresses as people write them: "10.0.0.2:7000", "[::1]:7000", "db-3.internal:7000"."""

import asyncio
import socket
from ipaddress import IPv6Address, ip_address
from typing import Any

from machnet_rpc.errors import AddressError


class UnresolvedError(AddressError):
    """The resolver gives no address; it may yet, where it gave one before."""


def split(address: str) -> tuple[str, int]:
    """Host and port.

    Errors: AddressError.
    """
    given: Any = address
    if not isinstance(given, str):
        raise AddressError(f"{given!r} is not an address: write host:port, as in '127.0.0.1:7000'")
    host, colon, port = address.rpartition(":")
    if not colon or not host or (":" in host and not (host[0] == "[" and host[-1] == "]")):
        raise AddressError(
            f"{address!r} is not an address: write host:port, as in 127.0.0.1:7000 or [::1]:7000"
        )
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise AddressError(f"{address!r} is not an address: its port must be from 0 to 65535")
    return host.strip("[]"), int(port)


def joined(host: str, port: int) -> str:
    """Host and port as one address, with brackets around an IPv6 host."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def resolved(address: str, local: str | None = None) -> tuple[str, int]:
    """IP address and port; asks the resolver if the host is a name.

    Of several addresses it is the first, or the first that an engine at `local` can reach.

    Errors: AddressError; UnresolvedError.
    """
    host, port = split(address)
    try:
        return str(ip_address(host)), port
    except ValueError:
        pass
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise UnresolvedError(
            f"{address!r}: {host} has no address ({error}): check its name, or write its IP address"
        ) from error
    hosts = [str(each[4][0]) for each in found]
    alike = [each for each in hosts if local is not None and is_reached(each, local)]
    return (alike or hosts)[0], port


def is_reached(host: str, local: str) -> bool:
    """Whether an engine at `local` can send to `host`: only to addresses of its own family."""
    return _version(host) == _version(local)


def is_as_asked(host: str, local: str) -> bool:
    """Whether who wants to listen at `host` gets that from an engine at `local`.

    A loopback or unspecified address stands for "wherever the engine is".
    """
    asked = ip_address(host)
    return asked.is_loopback or asked.is_unspecified or asked == ip_address(local)


def _version(host: str) -> int:
    address = ip_address(host)
    return 4 if isinstance(address, IPv6Address) and address.ipv4_mapped else address.version
