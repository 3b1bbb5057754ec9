"""The testing kit: faults by seed over the real transport, the same every run; deaths on time."""

import asyncio
import inspect
import random
from typing import Any, get_type_hints

import pytest

from machnet_rpc import CallInfo, Client, Next, Service, Unavailable, rpc, service, testing
from machnet_rpc.testing import ClientOptions, VirtualClock


@service("store")
class StoreContract:
    @rpc(timeout=5.0, idempotent=True)
    async def get(self, key: int) -> int:
        raise NotImplementedError

    @rpc(timeout=5.0)
    async def add(self, amount: int) -> int:
        raise NotImplementedError


class Store(StoreContract):
    def __init__(self) -> None:
        self.total = 0
        self.calls = 0

    @rpc
    async def get(self, key: int) -> int:
        self.calls += 1
        return key

    @rpc
    async def add(self, amount: int) -> int:
        self.total += amount
        return self.total


def run(main: Any) -> Any:
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(main)


def counters(client: Client) -> dict[str, int]:
    pump = client._keeper.pump
    assert pump is not None
    native = pump.link.native()
    assert native is not None
    assert native[1] is not None
    return native[1].stats()


@pytest.mark.parametrize(
    ("fault", "counter"),
    [
        ("drop", "faults_lost"),
        ("duplicate", "faults_duplicated"),
        ("corrupt", "faults_corrupted"),
        ("reorder", "faults_reordered"),
    ],
)
def test_faults_are_those_of_the_transport(fault: str, counter: str) -> None:
    async def main(seed: int) -> tuple[list[int], list[float], int]:
        ends: list[float] = []
        options: dict[str, Any] = {"seed": seed, "delay": 0.002, fault: 0.2}
        async with VirtualClock() as clock, testing.test_client(Store(), **options) as client:
            stub = client.stub(StoreContract)

            async def add() -> int:
                total = await stub.add(1)
                ends.append(clock.elapsed)
                return total

            totals = [await add() for _ in range(50)]
            assert client.transport.rung == "inline+udp"
            return totals, ends, counters(client)[counter]

    first = run(main(7))
    assert first == run(main(7))
    if fault != "duplicate":  # of which nobody sees anything
        assert first != run(main(8))
    assert first[0] == list(range(1, 51))  # each once, whatever befell its packets
    assert first[2] > 5


def test_loss_costs_time() -> None:
    async def main(drop: float) -> float:
        async with VirtualClock() as clock, testing.test_client(Store(), drop=drop) as client:
            for key in range(100):
                await client.stub(StoreContract).get(key)
            return clock.elapsed

    assert run(main(0.3)) > 0.01
    assert run(main(0.0)) == 0.0


@pytest.mark.parametrize("drop", [0.0, 0.1])
def test_the_server_dies_after_so_many_calls(drop: float) -> None:
    async def main() -> tuple[int, list[str], int]:
        store = Store()
        async with (
            VirtualClock(),
            testing.test_client(store, drop=drop, kill_after=3, seed=5) as client,
        ):
            stub = client.stub(StoreContract)
            calls = (stub.add(1) for _ in range(5))
            ends = await asyncio.gather(*calls, return_exceptions=True)
            died = [str(each.executed) for each in ends if isinstance(each, Unavailable)]
            executed = store.total
            assert await stub.add(0) == executed  # by its successor
            assert await stub.get(1) == 1
            return executed, died, len(ends)

    executed, died, calls = run(main())
    assert executed == 3  # and not a call more
    assert len(died) + executed >= calls
    assert "yes" not in died
    assert run(main()) == (executed, died, calls)


async def test_in_the_systems_time(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    async with testing.test_client(store, drop=0.05, seed=3, kill_after=50) as client:
        stub = client.stub(StoreContract)
        assert [await stub.get(key) for key in range(100)] == list(range(100))
    assert store.calls >= 100
    assert "the test killed the engine" in caplog.text


@pytest.mark.parametrize("kill_after", [None, 9])
async def test_middleware_of_both_sides(kill_after: int | None) -> None:
    passed: list[str] = []

    async def noting(call: CallInfo, request: dict[str, Any], following: Next) -> Any:
        passed.append(call.side)
        return await following(request)

    async with testing.test_client(
        Store(), kill_after=kill_after, client_middleware=[noting], server_middleware=[noting]
    ) as client:
        assert await client.stub(StoreContract).get(3) == 3
    assert passed == ["client", "server"]


async def test_of_functions() -> None:
    kv = Service("kv")

    @kv.rpc
    async def double(number: int) -> int:
        return 2 * number

    async with kv.test_client(drop=0.01, seed=7) as client:
        assert await client.call(double, 21) == 42
    async with kv.test_client(timeout=2.0) as client:
        assert client.transport.rung == "memory"
        assert await client.call(double, 1) == 2


async def test_a_failure_tells_its_seed() -> None:
    random.seed(0)
    expected = random.Random(0).random()
    with pytest.raises(ZeroDivisionError) as caught:
        async with testing.test_client(Store(), seed=1234):
            _ = 1 / 0
    assert caught.value.__notes__ == ["with the faults of seed=1234"]
    assert random.random() == expected  # what the block drew is of its own


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"drop": 1.5}, "drop is 1.5: a fraction"),
        ({"corrupt": -0.1}, "corrupt is -0.1: a fraction"),
        ({"duplicate": float("nan")}, "duplicate is nan: a fraction"),
        ({"delay": -1.0}, "delay is -1.0: it may be 0 to 10 seconds"),
        ({"delay": 10.5}, "delay is 10.5: it may be 0 to 10 seconds"),
        ({"seed": -1}, "seed is -1: it may be 0 to"),
        ({"kill_after": 0}, "kill_after is 0: the server takes one call at least"),
    ],
)
async def test_mistakes_get_a_sentence(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        await testing.test_client(Store(), **options).__aenter__()


def test_options_are_those_of_test_client() -> None:
    parameters = list(inspect.signature(testing.test_client).parameters)
    assert list(get_type_hints(ClientOptions)) == parameters[1:]
