"""Flows that are being opened while their engine goes."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from machnet_rpc._aio.openings import Openings
from machnet_rpc._transports.base import Link
from transport_engine import EngineGoneError


class Going:
    """A link whose engine goes while it is asked for a flow."""

    def __init__(self, openings: Openings) -> None:
        self._openings = openings

    async def connect(self, address: str, token: int) -> None:
        await asyncio.sleep(0)
        self._openings.fail(EngineGoneError("by its channel"))
        raise EngineGoneError(f"no answer to {token}, {address}")


@contextmanager
def reports() -> Generator[list[dict[str, Any]]]:
    """What the loop has to say by itself."""
    loop = asyncio.get_running_loop()
    said: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: said.append(context))
    yield said
    loop.set_exception_handler(None)


async def test_an_engine_that_goes_while_it_is_asked_is_an_error_once() -> None:
    openings = Openings()
    with reports() as said:
        with pytest.raises(EngineGoneError, match="no answer to 1"):
            await openings.open(cast(Link, Going(openings)), "127.0.0.1:7000", lambda: None)
        await asyncio.sleep(0)
        assert said == []
    assert repr(openings) == "<Openings: 0 under way>"
