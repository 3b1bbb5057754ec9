"""Contracts and implementations that are wrong are found when a server or stub is built."""

from typing import Any, cast

import pytest

from machnet_rpc import ContractError, MemoryNetwork, Server, connect, rpc, serve, service
from machnet_rpc._method_id import method_id
from machnet_rpc.service import resolve
from machnet_rpc.testing import test_client
from tests.machnet_rpc.ledger import Ledger, LedgerBook
from transport_engine.errors import PortInUseError


class Missing(Ledger):
    pass


class Changed(LedgerBook):
    async def echo(self, data: str) -> bytes:  # type: ignore[override]
        return data.encode()


class NotAsync(LedgerBook):
    def nothing(self) -> None:  # type: ignore[override]
        pass


class Plain:
    pass


@service("empty")
class Empty:
    pass


class EmptyDesk(Empty):
    pass


@service("untyped")
class Untyped:
    @rpc
    async def method(self, it: Any) -> None:
        raise NotImplementedError


del Untyped.method.function.__annotations__["it"]


class UntypedDesk(Untyped):
    pass


@service("another ledger")
class Another(Ledger):
    pass


def test_a_contract_is_compiled_once_under_each_name() -> None:
    first, again, another = resolve(Ledger), resolve(LedgerBook), resolve(Another)
    assert first.methods
    for name, binding in first.methods.items():
        assert again.methods[name] is binding
        assert another.methods[name] is not binding
        assert another.methods[name].full_name == f"another ledger/{name}"


@pytest.mark.parametrize(
    ("implementation", "words"),
    [
        (Missing(), "Missing: post is missing; balance is missing"),
        (Changed(), "ledger/echo: data is str, not bytes"),
        (NotAsync(), "ledger/nothing must be an `async def`"),
        (Plain(), "Plain is no service: decorate its contract"),
        (EmptyDesk(), "Empty has no method"),
        (UntypedDesk(), "untyped/method: argument it has no type"),
        (Ledger(), "Ledger is a contract: serve what implements it"),
        (LedgerBook, r"pass an instance, LedgerBook\(\)"),
    ],
)
def test_a_server_is_not_built_on_what_is_wrong(implementation: object, words: str) -> None:
    with pytest.raises(ContractError, match=words):
        Server(implementation)


def test_the_same_service_twice() -> None:
    with pytest.raises(ContractError, match="two implementations of ledger"):
        Server(LedgerBook(), LedgerBook())


def test_nothing_to_serve() -> None:
    with pytest.raises(ContractError, match="at least one") as caught:
        Server()
    shown = repr(caught.traceback[-1].frame.f_locals["self"])  # as a debugger has it
    assert shown == "<Server of nothing at no address yet>"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: service(""), "cannot name a service"),
        (lambda: service("a/b"), "cannot name a service"),
        (lambda: service(cast(Any, type)), r"as in @service\("),
        (lambda: service("a" * 201), "of 1 to 200 characters"),
        (lambda: rpc(timeout=0), "seconds, more than 0"),
        (lambda: rpc(lane=16), "from 0 to 15"),
        (lambda: rpc(lane=cast(Any, 1.5)), "from 0 to 15"),
        (lambda: rpc(lane=cast(Any, "1")), "from 0 to 15"),
    ],
)
def test_wrong_declarations(make: Any, words: str) -> None:
    with pytest.raises(ContractError, match=words):
        make()


def test_method_ids_are_hashes_of_service_and_method() -> None:
    found = resolve(Ledger).methods["echo"].method_id
    assert found == method_id("ledger", "echo")
    assert found >> 32 == method_id("ledger", "post") >> 32
    assert found & 0xFFFFFFFF == method_id("other", "echo") & 0xFFFFFFFF
    assert method_id("", "") == 0xE3B0C442_E3B0C442  # the first bytes of SHA-256 of nothing


async def test_a_stub_of_no_service(network: MemoryNetwork) -> None:
    async with connect("127.0.0.1:1", via=network) as client:
        with pytest.raises(ContractError, match="Plain is no service"):
            client.stub(Plain)


async def test_a_port_in_use(network: MemoryNetwork) -> None:
    async with serve(LedgerBook(), "127.0.0.1:5", via=network):
        with pytest.raises(PortInUseError, match="port 5"):
            async with serve(LedgerBook(), "127.0.0.1:5", via=network):
                pass


@pytest.mark.parametrize("wrong", ["", "7000", ":7000", "h:x", "h:65536", "::1:7000", "h:-1"])
async def test_addresses_that_are_none(wrong: str) -> None:
    with pytest.raises(ValueError, match="is not an address"):
        connect(wrong)


async def test_a_host_that_does_not_exist(network: MemoryNetwork) -> None:
    with pytest.raises(ValueError, match="has no address"):
        async with connect("no-such-host.invalid:7000", via=network):
            pass


async def test_implementations_are_plain_objects_too() -> None:
    assert await LedgerBook().echo(b"direct") == b"direct"


async def test_the_testing_kit() -> None:
    async with test_client(LedgerBook()) as client:
        assert await client.stub(Ledger).echo(b"1") == b"1"
