"""Names of several addresses, addresses that cannot be had, and what is said of them."""

import asyncio
import logging
import socket
from ipaddress import ip_address
from typing import Any

import pytest

from machnet_rpc import AddressError, Service, Unavailable, connect, serve
from machnet_rpc._transports.address import is_as_asked
from transport_engine import EngineConfig, NoEngineError

GREETER = Service("greeter")
V4, V6 = EngineConfig(address=ip_address("127.0.0.1")), EngineConfig(address=ip_address("::1"))


@GREETER.rpc
async def greet(name: str) -> str:
    return f"Hello, {name}!"


@pytest.fixture
async def both(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name `both.example` has an IPv6 and an IPv4 address, in this order."""

    async def found(host: str, port: int, **_: Any) -> list[Any]:
        assert host == "both.example"
        kinds = [(socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")]
        return [(family, socket.SOCK_DGRAM, 17, "", (ip, port)) for family, ip in kinds]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)


@pytest.mark.parametrize("engine", [V4, V6])
async def test_a_name_is_an_address_that_the_engine_reaches(
    both: None, engine: EngineConfig
) -> None:
    async with serve(GREETER, "127.0.0.1:0", via=engine) as server:
        at = f"both.example:{server.address.rpartition(':')[2]}"
        async with connect(at, via=engine) as client:
            assert await client.call(greet, "world") == "Hello, world!"


async def test_a_name_that_has_no_address_for_a_while_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    async def found(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        if 2 < len(asked) <= 7:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)
    async with serve(GREETER, "127.0.0.1:0", via=V4) as server:
        port = int(server.address.rpartition(":")[2])
        async with connect(f"moving.example:{port}", via=V4) as client:
            assert await client.call(greet, "world") == "Hello, world!"
            connection = client._keeper.connection
            assert connection is not None
            connection.close()  # as its server does that moves
            with pytest.raises(Unavailable, match=r"has no address .*Temporary failure") as failed:
                await client.using(wait=False, timeout=5.0).call(greet, "world")
            assert (failed.value.executed, failed.value.stage) == ("no", "connecting")
            with pytest.raises(Unavailable, match=r"has no address .* \(until the call's time"):
                await client.using(timeout=0.01).call(greet, "world")
            assert await client.using(timeout=5.0).call(greet, "again") == "Hello, again!"
    assert len(asked) == 8


async def test_a_name_without_an_address_is_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    async def found(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)
    with pytest.raises(AddressError, match="absent has no address"):
        async with connect("absent:7000", via=V4):
            pass


async def test_an_address_of_the_other_family() -> None:
    async with connect("[::1]:7000", via=V4) as client:
        with pytest.raises(AddressError, match=r"of its own family only, .* is 127\.0\.0\.1"):
            await client.call(greet, "world")


@pytest.mark.parametrize("address", ["255.255.255.255:7000", "[fe80::1%25lo]:7000"])
async def test_an_address_to_which_no_way_leads(address: str) -> None:
    with pytest.raises(NoEngineError, match="no way leads from this machine to"):
        async with connect(address):
            pass


async def test_a_server_elsewhere_than_asked_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with serve(GREETER, "192.0.2.1:0", via=V4) as server:
            at = server.address
    assert caplog.messages == [f"192.0.2.1 is not the engine's address: the server listens at {at}"]


def test_where_the_engine_is() -> None:
    assert is_as_asked("127.0.0.1", "192.0.2.1")
    assert is_as_asked("::", "192.0.2.1")
    assert is_as_asked("192.0.2.1", "192.0.2.1")
    assert not is_as_asked("192.0.2.1", "192.0.2.2")
