"""What a signal's handler raises while a request is read, or its handler called, leaves no call."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Annotated

import pytest
from pydantic import AfterValidator

from machnet_rpc import Client, Internal, MemoryNetwork, connect, rpc, serve, service
from machnet_rpc._transports.ladder import Via
from transport_engine import EngineConfig

SECONDS_MAX = 10.0
INTERRUPTING: list[type[BaseException]] = []


def interrupted(text: str) -> str:
    if INTERRUPTING:
        raise INTERRUPTING.pop()
    return text


Word = Annotated[str, AfterValidator(interrupted)]


@service("words")
class Words:
    @rpc(timeout=60.0)
    async def say(self, word: Word) -> str:
        raise NotImplementedError

    @rpc(timeout=60.0, idempotent="keyed")
    async def say_once(self, word: Word) -> str:
        raise NotImplementedError

    @rpc(timeout=60.0)
    def spell(self, word: Word) -> AsyncIterator[str]:
        raise NotImplementedError


class Speaker(Words):
    @rpc
    async def say(self, word: Word) -> str:
        return word

    @rpc
    async def say_once(self, word: Word) -> str:
        return word

    @rpc
    async def spell(self, word: Word) -> AsyncIterator[str]:
        for letter in word:
            yield letter


async def said(client: Client) -> object:
    return await client.stub(Words).say("a")


async def said_once(client: Client) -> object:
    return await client.stub(Words).say_once("a")


async def spelled(client: Client) -> object:
    async with client.stub(Words).spell("a") as letters:
        return [letter async for letter in letters]


ASKED = {"say": said, "say_once": said_once, "spell": spelled}


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("method", ASKED)
@pytest.mark.parametrize("rung", ["memory", "inline"])
def test_its_call_is_answered(
    caplog: pytest.LogCaptureFixture, rung: str, method: str, raised: type[BaseException]
) -> None:
    via: Via = MemoryNetwork() if rung == "memory" else EngineConfig()
    ask = ASKED[method]

    async def asked() -> None:
        async with (
            serve(Speaker(), "127.0.0.1:0", via=via) as server,
            connect(server.address, via=via) as client,
        ):
            expected = await ask(client)
            INTERRUPTING.append(raised)
            with pytest.raises(Internal, match="the server is going down") as caught:
                await asyncio.wait_for(ask(client), SECONDS_MAX)
            assert caught.value.executed == "maybe"
            assert await ask(client) == expected

    with closing(asyncio.new_event_loop()) as loop:
        going = loop.create_task(asked())
        with pytest.raises(raised):
            loop.run_until_complete(asyncio.shield(going))
        loop.run_until_complete(going)
    said_of_it = f"words/{method} raised SystemExit, and the process ends"
    assert (said_of_it in caplog.messages) == (raised is SystemExit)
