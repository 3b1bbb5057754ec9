"""Exceptions that a contract declares arrive as what they are, in whatever way they are written."""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest

from idl import markdown_of
from machnet_rpc import Code, NotFound, RpcError, Unavailable, rpc, service
from machnet_rpc.schemas import schema_of
from machnet_rpc.testing import test_client


class Why(Enum):
    LATE = "late"


class Lost(Exception):
    def __init__(self, job: UUID, why: Why = Why.LATE) -> None:
        super().__init__(f"{job} is lost: {why.value}")
        self.job = job
        self.why = why


class Short(Exception):
    """Calls no other constructor."""

    def __init__(self, missing: Decimal) -> None:
        self.missing = missing


class Held(Exception):
    def __init__(self, *, by: str, others: tuple[str, ...] = ()) -> None:
        super().__init__(f"held by {by}")
        self.by = by
        self.count = len(others)


class NoJob(NotFound):
    """One of gRPC's codes with a field of its own."""

    def __init__(self, job: UUID) -> None:
        super().__init__(f"no job {job}", next_step="Ask for another.")
        self.job = job


@dataclass
class NoRow(NotFound):
    row: UUID
    near: list[UUID] = field(default_factory=list[UUID])


@dataclass
class Conflict(Exception):
    key: str
    version: int = field(kw_only=True)


class Worded(Exception):
    """Keeps what it is given under another name: there is nothing but its arguments."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.words = text


class Loose(Exception):
    def __init__(self, *args: object) -> None:
        super().__init__(*args)


class Away(Unavailable):
    pass


class Odd(RpcError):
    """Has another code each time."""


@dataclass(frozen=True)
class Fixed(NotFound):
    at: int


ERRORS: dict[str, Exception] = {
    "text": Lost(UUID(int=7)),
    "no text": Short(Decimal("0.10")),
    "by name": Held(by="ada"),
    "of a code": NoJob(UUID(int=7)),
    "dataclass of a code": NoRow(UUID(int=7), [UUID(int=8)]),
    "dataclass": Conflict("a", version=3),
    "other name": Worded("a"),
    "any": Loose("a", 3),
    "bare": Away("today", next_step="Come tomorrow."),
    "any code": Odd("over", code=Code.OUT_OF_RANGE),
    "frozen": Fixed(3),
}


@service("declared", errors=[type(error) for error in ERRORS.values()])
class Declared:
    @rpc
    async def fail(self, how: str) -> None:
        raise NotImplementedError


class Failing(Declared):
    @rpc
    async def fail(self, how: str) -> None:
        raise ERRORS[how]


def told(error: Exception) -> dict[str, object]:
    """What it holds, but for what its call adds."""
    added = {"__notes__", "code", "executed", "method", "peer", "stage", "next_step"}
    return {name: value for name, value in vars(error).items() if name not in added}


@pytest.mark.parametrize("how", ERRORS)
async def test_a_declared_exception_arrives_as_what_it_is(how: str) -> None:
    raised = ERRORS[how]
    async with test_client(Failing()) as client:
        with pytest.raises(type(raised)) as caught:
            await client.stub(Declared).fail(how)
    assert type(caught.value) is type(raised)
    assert (caught.value.args, told(caught.value)) == (raised.args, told(raised))
    if not isinstance(raised, RpcError):
        assert str(caught.value) == str(raised)
    elif how != "frozen":
        assert isinstance(caught.value, RpcError)
        assert (caught.value.code, caught.value.next_step) == (raised.code, raised.next_step)
        assert (caught.value.method, caught.value.executed) == ("declared/fail", "yes")


async def test_who_calls_by_name_is_told_its_name() -> None:
    async with test_client(Failing()) as client:
        with pytest.raises(RpcError) as conflict:
            await client.call("declared/fail", "other name")
        with pytest.raises(Unavailable) as away:
            await client.call("declared/fail", "bare")
        with pytest.raises(NotFound) as silent:
            await client.call("declared/fail", "frozen")
    told = [error.value.message for error in (conflict, away, silent)]
    assert told == ["Worded: a", "Away: today", "Fixed"]


class Wrong(Declared):
    @rpc
    async def fail(self, how: str) -> None:
        wrong: Any = how
        raise Conflict("k", version=wrong)


async def test_one_with_a_wrong_field_says_which() -> None:
    async with test_client(Wrong()) as client:
        with pytest.raises(RpcError, match="Conflict") as caught:
            await client.stub(Declared).fail("newest")
    assert (caught.value.code, caught.value.executed) == (Code.UNKNOWN, "yes")
    assert caught.value.next_step.startswith("Conflict cannot be made of what came: version: ")


class Delayed(Conflict):
    """Derived from one that is declared."""


async def test_what_is_derived_from_it_is_another_and_the_log_says_what_to_declare(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(ERRORS, "derived", Delayed("a", version=3))
    async with test_client(Failing()) as client:
        with pytest.raises(RpcError, match="the handler raised Delayed") as caught:
            await client.stub(Declared).fail("derived")
    assert caught.value.code is Code.UNKNOWN
    (logged,) = caplog.messages
    assert logged == (
        "declared/fail raised Delayed, and its contract declares Conflict only: have errors=[...] "
        "name Delayed, too"
    )


def test_its_fields_stand_in_the_schema() -> None:
    """Also where it is one of gRPC's codes."""
    schema: Any = schema_of(Declared).to_json()
    error = schema["definitions"]["error NoRow"]
    assert error["code"] == "NOT_FOUND"
    assert {each["name"] for each in error["fields"]} == {"row", "near"}
    assert "| row | `uuid` |  |" in markdown_of(schema_of(Declared))
