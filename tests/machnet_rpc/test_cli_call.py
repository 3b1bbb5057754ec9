"""What `mrpc call` says of a call that it does not come to make."""

from typing import Any

import pytest

from machnet_rpc import CallInfo, MemoryNetwork, Next, PermissionDenied, serve
from tests.machnet_rpc.commands import run
from tests.machnet_rpc.conftest import ADDRESS
from tests.machnet_rpc.shop import ShopServer


@pytest.mark.parametrize("argv", [["call"], ["bench", "--seconds", "1"]], ids=["call", "bench"])
async def test_a_question_before_the_call_that_fails_is_not_taken_for_it(argv: list[str]) -> None:
    async def closed(call: CallInfo, request: dict[str, Any], following: Next) -> Any:
        await following(request)
        raise PermissionDenied("not you", executed="yes")

    network = MemoryNetwork()
    command, *options = argv
    async with serve(ShopServer(), ADDRESS, via=network, middleware=[closed]):
        with pytest.raises(PermissionDenied) as failed:
            await run(network, command, ADDRESS, "shop/place", '{"item": "a"}', *options)
    assert failed.value.method == "shop/place"
    assert failed.value.executed == "no"
