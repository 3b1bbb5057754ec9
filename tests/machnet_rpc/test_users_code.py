"""What users' code raises where nobody thinks of it ends its own call, and nothing else.

Handlers raise what cannot be printed or sent; validators and serializers raise what they must not.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from pydantic import BaseModel, field_serializer, field_validator

from machnet_rpc import (
    Cancelled,
    Client,
    Code,
    Internal,
    InvalidArgument,
    NotFound,
    RpcError,
    connect,
    rpc,
    serve,
    service,
)
from machnet_rpc.testing import test_client
from transport_engine import EngineConfig
from transport_engine import Limits as EngineLimits

LONG = 17_000_000  # more than any rung takes
TABLE: dict[str, str] = {"known": "known"}


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class DeclaredUnprintable(Unprintable):
    pass


class Unbegun(NotFound):
    def __init__(self, key: str) -> None:  # it does not call that of NotFound
        self.key = key


class Unheard(BaseException):
    pass


class Wordy(Exception):
    pass


class Uncoded(RpcError):
    pass


class Closed(Exception):
    """Nothing can be asked of it."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class ClosedNotFound(NotFound):
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


def refused(*_: object) -> Any:
    raise RuntimeError("nothing is said")


Classless: Any = type("Classless", (Exception,), {"__class__": property(refused)})
Nameless: Any = type("Meta", (type,), {"__name__": property(refused)})("Nameless", (Exception,), {})
Untold: Any = type("Untold", (), {"__class__": property(refused), "__repr__": refused})


class Rude(Exception):
    """Speaks in exceptions that nobody expects of text."""

    def __str__(self) -> str:
        raise GeneratorExit


class Stopped(asyncio.CancelledError):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class In(BaseModel):
    key: str

    @field_validator("key")
    @classmethod
    def looked_up(cls, key: str) -> str:
        return TABLE[key]  # a KeyError is no verdict of pydantic's


class Out(BaseModel):
    key: str

    @field_serializer("key")
    def looked_up(self, key: str) -> str:
        return TABLE[key]


@service("users", errors=[DeclaredUnprintable, Wordy, Uncoded])
class Users:
    @rpc
    async def fail(self, how: str) -> int:
        raise NotImplementedError

    @rpc
    def fail_late(self, how: str) -> AsyncIterator[int]:
        raise NotImplementedError

    @rpc(idempotent="keyed")
    async def fail_once(self, how: str) -> int:
        raise NotImplementedError

    @rpc(oneway=True)
    async def fail_unheard(self, how: str) -> None:
        raise NotImplementedError

    @rpc
    async def take(self, given: In) -> None:
        raise NotImplementedError

    @rpc(idempotent="keyed")
    async def take_once(self, given: In) -> None:
        raise NotImplementedError

    @rpc
    def take_for_items(self, given: In) -> AsyncIterator[int]:
        raise NotImplementedError

    @rpc
    async def take_items(self, given: AsyncIterable[In]) -> int:
        raise NotImplementedError

    @rpc
    async def give(self) -> Out:
        raise NotImplementedError


ERRORS: dict[str, BaseException] = {
    "unprintable": Unprintable(),
    "declared": DeclaredUnprintable(),
    "unbegun": Unbegun("a"),
    "unheard": Unheard("a"),
    "surrogate": ValueError("a \ud800"),
    "number": NotFound(5),  # type: ignore[arg-type]
    "code": RpcError("a", code=77),  # type: ignore[arg-type]
    "declared code": Uncoded("a", code=77),  # type: ignore[arg-type]
    "wordy": Wordy("a" * LONG),
    "long": ValueError("\u20ac" * 5_000),
    "step": NotFound("a" * LONG, next_step="b" * LONG),
    "closed": Closed("a"),
    "closed code": ClosedNotFound("a"),
    "classless": Classless("a"),
    "rude": Rude("a"),
    "nameless": Nameless("a"),
    "group": BaseExceptionGroup("some", [Closed("a"), Classless("a"), Unheard("a"), Rude("a")]),
    "exit": GeneratorExit("a"),
}


class Careless(Users):
    @rpc
    async def fail(self, how: str) -> int:
        raise ERRORS[how]

    @rpc
    async def fail_late(self, how: str) -> AsyncIterator[int]:
        yield 1
        raise ERRORS[how]

    @rpc(idempotent="keyed")
    async def fail_once(self, how: str) -> int:
        raise ERRORS[how]

    @rpc
    async def fail_unheard(self, how: str) -> None:
        raise ERRORS[how]

    @rpc
    async def take(self, given: In) -> None:
        pass

    @rpc(idempotent="keyed")
    async def take_once(self, given: In) -> None:
        pass

    @rpc
    async def take_for_items(self, given: In) -> AsyncIterator[int]:
        yield 1

    @rpc
    async def take_items(self, given: AsyncIterable[In]) -> int:
        return len([each async for each in given])

    @rpc
    async def give(self) -> Out:
        return Out(key="unknown")


async def is_up(client: Client) -> bool:
    """The same flow still answers."""
    await client.stub(Users).take(In(key="known"))
    return True


WORDS = {
    "unprintable": (Code.UNKNOWN, "raised Unprintable"),
    "declared": (Code.UNKNOWN, "DeclaredUnprintable"),
    "unbegun": (Code.NOT_FOUND, ""),
    "unheard": (Code.UNKNOWN, "raised Unheard: a"),
    "surrogate": (Code.UNKNOWN, r"a \ud800"),
    "number": (Code.NOT_FOUND, "5"),
    "code": (Code.UNKNOWN, "77 is not a valid Code"),
    "declared code": (Code.UNKNOWN, "raised Uncoded, which cannot be sent: 77 is not a valid Code"),
    "wordy": (Code.UNKNOWN, "aaa"),
    "long": (Code.UNKNOWN, "raised ValueError: \u20ac"),
    "step": (Code.NOT_FOUND, "aaa"),
    "closed": (Code.UNKNOWN, "raised Closed: a"),
    "closed code": (Code.UNKNOWN, "raised ClosedNotFound, which cannot be sent: message"),
    "classless": (Code.UNKNOWN, "raised Classless: a"),
    "rude": (Code.UNKNOWN, "raised Rude: Rude"),
    "nameless": (Code.UNKNOWN, "raised Nameless: a"),
    "group": (Code.UNKNOWN, "raised BaseExceptionGroup: some (4 sub-exceptions)"),
    "exit": (Code.UNKNOWN, "raised GeneratorExit: a"),
}


VIA: dict[str, EngineConfig | None] = {
    "memory": None,
    "inline": EngineConfig(),
    "short": EngineConfig(limits=EngineLimits(message_bytes_max=1024)),
}


@asynccontextmanager
async def client_by(via: EngineConfig | None) -> AsyncGenerator[Client]:
    if via is None:
        async with test_client(Careless(), timeout=5) as client:
            yield client
    else:
        async with (
            serve(Careless(), "127.0.0.1:0", via=via) as server,
            connect(server.address, via=via, timeout=5) as client,
        ):
            yield client


@pytest.mark.parametrize("way", VIA)
@pytest.mark.parametrize("how", ERRORS)
async def test_whatever_a_handler_raises_ends_its_call_alone(how: str, way: str) -> None:
    code, words = WORDS[how]
    async with client_by(VIA[way]) as client:
        await is_up(client)
        connection = client._keeper.connection

        async def drained() -> list[int]:
            return [each async for each in stub.fail_late(how)]

        stub = client.stub(Users)
        for call in (stub.fail(how), stub.fail_once(how), drained()):
            with pytest.raises((RpcError, DeclaredUnprintable)) as caught:
                await call
            if how != "declared":
                error: Any = caught.value
                assert (error.code, error.executed) == (code, "yes")
                assert words in error.message
        await stub.fail_unheard(how)
        assert await is_up(client)
        assert client._keeper.connection is connection


async def test_a_validator_that_raises_something_else_refuses_the_arguments() -> None:
    wrong = In.model_construct(key="unknown")

    async def items() -> AsyncIterator[In]:
        yield wrong

    async with test_client(Careless(), timeout=5) as client:
        await is_up(client)
        stub = client.stub(Users)
        calls = (
            stub.take(wrong),
            stub.take_once(wrong),
            anext(stub.take_for_items(wrong)),
            stub.take_items(items()),
        )
        for call in calls:
            with pytest.raises(InvalidArgument, match="its validation raised KeyError: 'unknown'"):
                await call
        with pytest.raises(InvalidArgument) as caught:
            await stub.take(wrong)
        assert caught.value.executed == "no"
        with pytest.raises(Internal, match="result is wrong"):
            await stub.give()
        assert await is_up(client)


CANCELLATIONS: dict[str, BaseException] = {
    "silent": asyncio.CancelledError(),
    "unprintable": Stopped(),
    "surrogate": asyncio.CancelledError("a \ud800"),
}


@pytest.mark.parametrize("how", CANCELLATIONS)
async def test_a_cancellation_that_a_handler_raises_ends_its_call_alone(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ERRORS, how, CANCELLATIONS[how])
    async with test_client(Careless(), timeout=5) as client:
        await is_up(client)
        stub = client.stub(Users)
        for call in (stub.fail(how), stub.fail_once(how)):
            with pytest.raises(Cancelled, match="the handler was cancelled"):
                await call
        assert await is_up(client)


class Untelling(Careless):
    @rpc
    async def give(self) -> Out:
        return cast(Out, Untold())

    @rpc
    async def fail(self, how: str) -> int:
        return cast(int, Untold())


async def test_a_result_of_which_nothing_can_be_asked_ends_its_call_alone() -> None:
    async with test_client(Untelling(), timeout=5) as client:
        await is_up(client)
        stub = client.stub(Users)
        for call in (stub.give(), stub.fail("")):
            with pytest.raises(Internal, match="result is"):
                await call
        assert await is_up(client)


async def test_words_of_a_validator_that_no_encoding_has_refuse_the_arguments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = In.model_construct(key="unknown")
    async with test_client(Careless(), timeout=5) as client:
        await is_up(client)
        monkeypatch.setattr(f"{__name__}.TABLE", Surrogates())
        with pytest.raises(InvalidArgument, match=r"raised LookupError: a \\ud800"):
            await client.stub(Users).take(wrong)
        monkeypatch.undo()
        assert await is_up(client)


class Surrogates(dict[str, str]):
    def __missing__(self, key: str) -> str:
        raise LookupError("a \ud800")


async def test_a_validator_that_raises_no_exception_refuses_the_arguments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As what Rust panics with where PyO3 raises it, and what cancels a task."""
    wrong = In.model_construct(key="unknown")
    async with test_client(Careless(), timeout=5) as client:
        await is_up(client)
        stub = client.stub(Users)
        for kind in (Unheard, asyncio.CancelledError):
            monkeypatch.setattr(f"{__name__}.TABLE", Panics(kind))
            for call in (
                stub.take(wrong),
                stub.take_once(wrong),
                anext(stub.take_for_items(wrong)),
            ):
                with pytest.raises(
                    InvalidArgument, match=f"raised {kind.__name__}: panic"
                ) as caught:
                    await call
                assert caught.value.executed == "no"
            monkeypatch.undo()
            assert await is_up(client)


class Panics(dict[str, str]):
    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    def __missing__(self, key: str) -> str:
        raise self.kind("panic")
