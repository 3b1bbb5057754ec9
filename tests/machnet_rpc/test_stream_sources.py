"""What calls are fed from is the user's, and may fail wherever it is asked for something.

So may items that are none: how far their calls came is said of them as of any other.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from machnet_rpc import (
    Client,
    Internal,
    InvalidArgument,
    ResourceExhausted,
    connect,
    rpc,
    serve,
    service,
)
from machnet_rpc._transports.ladder import Via
from tests.machnet_rpc.leftovers import nothing_left
from tests.machnet_rpc.tap import Drop, Tap, TapDesk
from tests.machnet_rpc.waiting import until


@pytest.fixture
async def client(via: Via) -> AsyncIterator[Client]:
    async with (
        serve(TapDesk(), "127.0.0.1:0", via=via, grace=0.2) as server,
        connect(server.address, via=via, timeout=5.0) as client,
    ):
        yield client
        await until(lambda: nothing_left(client, server))


class Unopened:
    """Raises where it is asked for its iterator; notes that it was closed."""

    def __init__(self) -> None:
        self.is_closed = False

    def __aiter__(self) -> AsyncIterator[Any]:
        raise LookupError("no drops at all")

    async def aclose(self) -> None:
        self.is_closed = True


async def test_a_source_that_gives_no_iterator_ends_the_call_with_that(client: Client) -> None:
    tap, source = client.stub(Tap), Unopened()
    with pytest.raises(LookupError, match="no drops at all"):
        await tap.total(source)
    assert source.is_closed
    with pytest.raises(LookupError, match="no drops at all"):
        assert [drop async for drop in tap.echo(Unopened(), "y")]


WRONG: Any = "no drop"


@pytest.mark.parametrize("what", ["wrong", "large"])
async def test_an_item_that_cannot_be_sent_is_of_a_call_that_has_begun(
    client: Client, what: str
) -> None:
    taken = asyncio.Event()

    async def drops() -> AsyncIterator[Drop]:
        yield Drop(1)
        await taken.wait()
        connection = client._keeper.connection
        assert connection is not None
        yield WRONG if what == "wrong" else Drop(2, "x" * connection.message_bytes_max)

    async def take() -> None:
        async for drop in client.stub(Tap).echo(drops(), "y"):
            assert drop == Drop(1, "y")
            taken.set()

    with pytest.raises(InvalidArgument if what == "wrong" else ResourceExhausted) as caught:
        await take()
    error = caught.value
    assert "an item" in error.message
    assert (error.method, error.executed) == ("tap/echo", "yes")
    assert error.stage == "handler started"


@service("tap")
class Other:
    """As the tap, but for what its items are."""

    @rpc
    def drip(self, first: int = 1) -> AsyncIterator[str]:
        raise NotImplementedError

    @rpc
    def fail(self, after: int, how: str) -> AsyncIterator[str]:
        raise NotImplementedError


async def test_an_item_that_cannot_be_read_is_of_a_handler_that_may_go_on(client: Client) -> None:
    with pytest.raises(Internal, match="the result is not what the contract says") as caught:
        assert await anext(client.stub(Other).drip())
    assert (caught.value.executed, caught.value.stage) == ("yes", "handler started")
    answered = client.stub(Other).fail(1, "not found")
    async with answered:
        connection = client._keeper.connection
        assert connection is not None
        await until(lambda: not connection.outgoing)
        with pytest.raises(Internal) as ended:
            await anext(answered)
    assert (ended.value.executed, ended.value.stage) == ("yes", "reply seen")


@pytest.mark.parametrize("how", ["waits", "gives"])
async def test_what_a_source_raises_as_its_call_is_left_is_logged(
    client: Client, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    async def drops() -> AsyncIterator[Drop]:
        try:
            yield Drop(1)
            if how == "waits":
                await asyncio.sleep(60)
            while True:  # until there is no more credit
                yield Drop(2)
        finally:
            raise LookupError("of a finally")

    async with asyncio.timeout(60), client.stub(Tap).echo(drops(), "y") as echoed:
        assert await anext(echoed) == Drop(1, "y")
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert record.message == "what a call was fed from raised as it was closed"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)
