"""Addresses as people write them: "10.0.0.2:7000", "[::1]:7000", "db-3.internal:7000"."""

import asyncio
import socket
from ipaddress import ip_address
from typing import Any

from machnet_rpc.errors import AddressError


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


async def resolved(address: str) -> tuple[str, int]:
    """IP address and port; asks the resolver if the host is a name.

    Errors: AddressError.
    """
    host, port = split(address)
    try:
        return str(ip_address(host)), port
    except ValueError:
        pass
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise AddressError(f"{address!r}: {host} has no address ({error})") from error
    return str(found[0][4][0]), port
