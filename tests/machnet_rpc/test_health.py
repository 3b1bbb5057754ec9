"""The health service means what grpc.health.v1 does."""

import asyncio

import pytest

from machnet_rpc import Client, NotFound, Server, connect, serve
from machnet_rpc._transports.ladder import Via
from machnet_rpc.health import HealthContract, Settable
from tests.machnet_rpc.conftest import only_memory
from tests.machnet_rpc.ledger import LedgerBook
from tests.machnet_rpc.waiting import until


async def test_check_answers_for_the_server_and_each_service(
    server: Server, client: Client
) -> None:
    health = client.stub(HealthContract)
    assert [await health.check(), await health.check("ledger")] == ["SERVING", "SERVING"]
    statuses: tuple[Settable, ...] = ("NOT_SERVING", "UNKNOWN", "SERVING")
    for status in statuses:
        server.health.set("ledger", status)
        assert [await health.check(), await health.check("ledger")] == ["SERVING", status]
    server.health.set("", "NOT_SERVING")
    assert [await health.check(), await health.check("ledger")] == ["NOT_SERVING", "SERVING"]


async def test_check_of_a_service_that_is_not_known(client: Client) -> None:
    with pytest.raises(NotFound, match="no service 'nope' here"):
        await client.stub(HealthContract).check("nope")


async def test_watch_sends_at_once_and_then_each_change(server: Server, client: Client) -> None:
    async with client.stub(HealthContract).watch("ledger") as statuses:
        assert await anext(statuses) == "SERVING"
        server.health.set("ledger", "SERVING")  # is none
        server.health.set("", "UNKNOWN")  # of another
        server.health.set("ledger", "NOT_SERVING")
        assert await anext(statuses) == "NOT_SERVING"
        server.health.set("ledger", "SERVING")
        assert await anext(statuses) == "SERVING"
    await until(lambda: not server.health._watchers)


async def test_watch_of_a_service_that_becomes_known(server: Server, client: Client) -> None:
    async with client.stub(HealthContract).watch("late") as statuses:
        assert await anext(statuses) == "SERVICE_UNKNOWN"
        server.health.set("late", "SERVING")
        assert await anext(statuses) == "SERVING"


@only_memory
async def test_two_changes_before_anybody_looks_are_one(server: Server, client: Client) -> None:
    async with client.stub(HealthContract).watch("ledger") as statuses:
        assert await anext(statuses) == "SERVING"
        await until(lambda: server.health._watchers)
        server.health.set("ledger", "NOT_SERVING")
        server.health.set("ledger", "SERVING")
        server.health.set("ledger", "UNKNOWN")
        assert await anext(statuses) == "UNKNOWN"


async def test_a_draining_server_serves_nothing_and_lets_watchers_go(via: Via) -> None:
    async with serve(LedgerBook(), "127.0.0.1:0", via=via, grace=5.0) as server:
        client = connect(server.address, via=via, timeout=5.0)
        await client.open()
        watched = [client.stub(HealthContract).watch(name) for name in ("", "ledger", "nope")]
        assert [await anext(each) for each in watched] == ["SERVING", "SERVING", "SERVICE_UNKNOWN"]
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 4.0, "a watcher kept the server"
    assert [[status async for status in each] for each in watched] == [
        ["NOT_SERVING"],
        ["NOT_SERVING"],
        [],
    ]
    server.health.set("ledger", "SERVING")
    assert server.health.get("ledger") == "NOT_SERVING"
    await client.close()
    await server.listen("127.0.0.1:0", via=via)
    assert [server.health.get(name) for name in ("", "ledger")] == ["SERVING", "SERVING"]
    await server.close()


def test_what_is_no_status_is_refused_and_changes_nothing() -> None:
    server = Server(LedgerBook())
    for status in ("SERVICE_UNKNOWN", "UP", ""):
        with pytest.raises(ValueError, match="set one of UNKNOWN, SERVING, NOT_SERVING"):
            server.health.set("ledger", status)  # type: ignore[arg-type]
    assert server.health.get("ledger") == "SERVING"
