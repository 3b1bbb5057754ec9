"""What calls are fed from is the user's, and may fail wherever it is asked for something."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from machnet_rpc import Client, connect, serve
from machnet_rpc._transports.ladder import Via
from tests.machnet_rpc.leftovers import nothing_left
from tests.machnet_rpc.tap import Tap, TapDesk
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
