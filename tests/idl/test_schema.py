"""Hints become schemas; what is wrong with them gets a sentence."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from idl import SchemaError, differences, method_schema
from idl.schema import Parameter


class Good:
    async def method(self, a: int, b: "list[str]", *, c: bytes = b"c") -> None: ...


def test_hints_are_resolved() -> None:
    schema = method_schema(Good.method, "good/method")
    assert schema.parameters == (
        Parameter("a", int, True),
        Parameter("b", list[str], True),
        Parameter("c", bytes, False, b"c"),
    )
    assert schema.result is type(None)


class Bad:
    async def untyped(self, a) -> None: ...  # type: ignore[no-untyped-def]
    async def silent(self, a: int): ...  # type: ignore[no-untyped-def]
    async def unknown(self, a: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821
    async def broken(self, a: "list[") -> None: ...  # type: ignore[valid-type]  # noqa: F722
    async def star(self, *a: int) -> None: ...
    async def stars(self, **a: int) -> None: ...
    async def place(self, a: int, /) -> None: ...
    def plain(self) -> None: ...
    async def stream(self) -> Any:
        yield 1

    async def take(self, a: AsyncIterator[int] = ...) -> None: ...
    async def forgot(_a: int) -> None: ...  # type: ignore[misc]  # noqa: N805
    async def nothing() -> None: ...  # type: ignore[misc]
    async def named(*, a: int) -> None: ...  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("untyped", "argument a has no type"),
        ("silent", "does not say what it returns"),
        ("unknown", "names 'Nowhere'"),
        ("broken", "a type hint cannot be read: Forward reference must be an expression"),
        ("star", r" takes \*a: every argument must be named"),
        ("stars", r" takes \*\*a: every argument must be named"),
        ("place", "a needs one"),
        ("plain", "must be an `async def`"),
        ("stream", "must return `-> AsyncIterator"),
        ("take", "takes at most one stream, and without a default"),
        ("forgot", "has no `self`: write it before _a"),
        ("nothing", "must be a method, whose first argument is `self`"),
        ("named", "must be a method, whose first argument is `self`"),
    ],
)
def test_what_is_wrong_gets_a_sentence(name: str, words: str) -> None:
    with pytest.raises(SchemaError, match=words) as caught:
        method_schema(getattr(Bad, name), f"bad/{name}")
    assert f"bad/{name}" in str(caught.value)


@pytest.mark.parametrize("kind", [staticmethod, classmethod])
def test_a_method_is_that_of_an_instance(kind: Any) -> None:
    with pytest.raises(SchemaError, match="whose first argument is `self`"):
        method_schema(kind(Good.method), "good/method")


class Hinted:
    async def one(_self, a: int) -> None: ...  # noqa: N805
    async def two(self: "Hinted", a: int) -> None: ...


@pytest.mark.parametrize("method", [Hinted.one, Hinted.two])
def test_self_may_have_another_name_or_a_hint(method: Any) -> None:
    assert method_schema(method, "s/m").parameters == (Parameter("a", int, True),)


class Implementations:
    async def same(self, a: int, b: list[str], *, c: bytes = b"") -> None: ...
    async def unhinted(self, a, b, *, c=b""): ...  # type: ignore[no-untyped-def]
    async def renamed(self, a: int, x: list[str], *, c: bytes = b"") -> None: ...
    async def fewer(self, a: int) -> None: ...
    async def retyped(self, a: str, b: list[str], *, c: bytes = b"") -> None: ...
    async def returns(self, a: int, b: list[str], *, c: bytes = b"") -> int:
        return a

    def plain(self, a: int, b: list[str], *, c: bytes = b"") -> None: ...


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("same", None),
        ("unhinted", None),
        ("renamed", "takes (a, x, c), not (a, b, c)"),
        ("fewer", "takes (a), not (a, b, c)"),
        ("retyped", "a is str, not int"),
        ("returns", "returns int, not None"),
        ("plain", "must be an `async def`"),
    ],
)
def test_implementations_are_compared(name: str, words: str | None) -> None:
    schema = method_schema(Good.method, "good/method")
    found = differences(schema, getattr(Implementations, name))
    if words is None:
        assert found == []
    else:
        assert words in found[0]
