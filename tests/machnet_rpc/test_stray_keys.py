"""A key that is given to what takes none is no key that is passed over: nothing is called."""

from functools import partial
from typing import Any

import pytest

from machnet_rpc import ContractError, InvalidArgument, rpc, service, sync
from machnet_rpc.middleware import CallInfo, Middleware, Next, Request
from machnet_rpc.testing import test_client
from tests.machnet_rpc.server_thread import serving
from tests.machnet_rpc.test_misuse import Clerk, Desk
from transport_engine import EngineConfig


class Noting(Clerk):
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    @rpc
    async def add(self, number: int) -> int:
        self.asked.append(number)
        return number + 1

    @rpc
    async def buy(self, number: int) -> int:
        self.asked.append(number)
        return number


async def passing(_: CallInfo, request: Request, following: Next) -> Any:
    return await following(request)


@pytest.mark.parametrize("middleware", [[], [passing]])
async def test_a_key_is_for_one_call_of_a_keyed_method(middleware: list[Middleware]) -> None:
    clerk = Noting()
    async with test_client(clerk, timeout=5, client_middleware=middleware) as client:
        keyed: Any = client.using(key="k")
        stub = keyed.stub(Desk)
        for begin in (stub.add, stub.add.using(priority=1), partial(keyed.call, Desk.add)):
            for _ in range(2):
                with pytest.raises(ContractError, match=r"desk/add is not idempotent=.keyed.: no"):
                    await begin(1)
        for stream in (stub.count, partial(keyed.stream, Desk.count)):
            with pytest.raises(ContractError, match=r"desk/count is not idempotent=.keyed.: no"):
                stream(1)
        with pytest.raises(ContractError, match="a key names one call"):
            await keyed.call_many(Desk.buy, [1])
        for begin in (stub.buy, partial(keyed.call, Desk.buy)):
            assert await begin(7) == 7
    assert clerk.asked == [7]


@service("desk")
class OtherDesk:
    @rpc(idempotent="keyed")
    async def buy(self, number: str) -> int:
        raise NotImplementedError


class OtherClerk(OtherDesk):
    @rpc
    async def buy(self, number: str) -> int:
        return 0


async def test_what_a_server_is_asked_about_a_failure_has_no_key() -> None:
    async with test_client(OtherClerk(), timeout=5) as client:
        for _ in range(2):
            with pytest.raises(InvalidArgument, match="the contracts differ"):
                await client.using(key="k").call(Desk.buy, 7)


def test_so_it_is_for_a_blocking_client() -> None:
    clerk = Noting()
    with (
        serving(clerk, "127.0.0.1:0", EngineConfig()) as server,
        sync.connect(server.address, via=EngineConfig()) as client,
    ):
        keyed = client.using(key="k")
        stub: Any = keyed.stub(Desk)
        for begin in (stub.add, partial(keyed.call, Desk.add)):
            with pytest.raises(ContractError, match="no key"):
                begin(1)
        with pytest.raises(ContractError, match="no key"):
            list(keyed.stream(Desk.count, 1))
        with pytest.raises(ContractError, match="a key names one call"):
            keyed.call_many(Desk.buy, [1])
        assert [begin(7) for begin in (stub.buy, partial(keyed.call, Desk.buy))] == [7, 7]
    assert clerk.asked == [7]
