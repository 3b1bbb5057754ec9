"""Contracts that share a base, which may be generic: each has the methods as its own."""

import functools
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, Generic, Protocol, TypeVar, cast

import pytest
from pydantic import BaseModel

from machnet_rpc import ContractError, InvalidArgument, Server, Service, rpc, service
from machnet_rpc.schemas import schema_of
from machnet_rpc.testing import test_client

T = TypeVar("T")
K = TypeVar("K")

FIVE: Any = "five"


class Page(BaseModel, Generic[T]):
    items: list[T]


class Named:
    @rpc
    async def name(self) -> str:
        raise NotImplementedError

    @rpc(idempotent="keyed")
    async def rename(self, name: str) -> str:
        raise NotImplementedError

    @rpc
    def letters(self) -> AsyncIterator[str]:
        raise NotImplementedError


@service("cats")
class Cats(Named):
    pass


@service("dogs")
class Dogs(Named):
    pass


class Naming(Named):
    word = ""

    @rpc
    async def name(self) -> str:
        return self.word

    @rpc
    async def rename(self, name: str) -> str:
        return f"{name} of {self.word}"

    @rpc
    async def letters(self) -> AsyncIterator[str]:
        for letter in self.word:
            yield letter


class CatNames(Naming, Cats):
    word = "cats"


class DogNames(Naming, Dogs):
    word = "dogs"


class Store(Generic[K, T]):
    @rpc
    async def put(self, key: K, value: T | None) -> Page[T]:
        raise NotImplementedError

    @rpc
    async def load(self, values: AsyncIterable[T]) -> list[T]:
        raise NotImplementedError


class Counts(Store[str, T]):
    pass


@service("numbers")
class Numbers(Counts[int]):
    pass


class NumberStore(Numbers):
    @rpc
    async def put(self, key: str, value: int | None) -> Page[int]:
        return Page[int](items=[] if value is None else [value])

    @rpc
    async def load(self, values: AsyncIterable[int]) -> list[int]:
        return [each async for each in values]


class Lookup(Generic[K]):
    @rpc
    async def find(self, key: K) -> int | str | None:
        raise NotImplementedError


@service("lookup")
class Words(Lookup[str]):
    pass


class Anywhere(Lookup[K]):
    @rpc
    async def find(self, key: K) -> int | None:  # some of what the contract allows
        return 5


class WordsAnywhere(Anywhere[str], Words):
    pass


async def test_each_contract_calls_its_own_service() -> None:
    async with test_client([CatNames(), DogNames()], timeout=5) as client:
        cats, dogs = client.stub(Cats), client.stub(Dogs)
        for stub, word in ((cats, "cats"), (dogs, "dogs"), (cats, "cats")):
            assert await stub.name() == word
            assert await stub.rename("Tom") == f"Tom of {word}"
            assert "".join([each async for each in stub.letters()]) == word
        assert (repr(Cats.name), repr(Dogs.name)) == ("<rpc cats/name>", "<rpc dogs/name>")
    async with test_client([CatNames(), DogNames()], timeout=5) as client:  # without a stub
        assert await client.call(Cats.name) == "cats"
        assert await client.call(Dogs.name) == "dogs"


async def test_a_generic_contract_is_of_its_types() -> None:
    async with test_client([NumberStore(), WordsAnywhere()], timeout=5) as client:
        numbers = client.stub(Numbers)
        assert await numbers.put("a", 5) == Page[int](items=[5])
        with pytest.raises(InvalidArgument, match="value"):
            await numbers.put("a", FIVE)

        async def values() -> AsyncIterator[int]:
            yield 1

        assert await numbers.load(values()) == [1]
        assert await client.stub(Words).find("a") == 5
    (key, value) = schema_of(Numbers).methods["put"].parameters
    assert (str(key.shape), str(value.shape)) == ("str", "int | None")


def test_what_is_not_implemented_is_missing_also_where_it_is_inherited() -> None:
    class Nameless(Cats):
        pass

    with pytest.raises(ContractError, match="name is missing; rename is missing"):
        Server(Nameless())


def test_an_object_implements_one_contract() -> None:
    class Both(Naming, Cats, Dogs):
        pass

    with pytest.raises(ContractError, match="Both implements Cats and Dogs: serve an object"):
        Server(Both())


def test_what_is_no_function_is_no_method() -> None:
    async def add(one: int, other: int) -> int:
        return one + other

    partly: Any = functools.partial(add, 1)
    with pytest.raises(ContractError, match="is no function"):
        Service("sums").rpc(partly)


@service("spoken")
class Spoken(Protocol):
    @rpc
    async def word(self, language: str) -> str:
        raise NotImplementedError


class Written(Spoken):
    @rpc
    async def word(self, language: str) -> str:
        return f"a word of {language}"


async def test_a_protocol_is_a_contract() -> None:
    async with test_client(Written(), timeout=5) as client:
        assert await client.call(Spoken.word, "Latin") == "a word of Latin"
        stub: Spoken = client.stub(Spoken)  # type: ignore[type-abstract]
        assert await stub.word("Greek") == "a word of Greek"


def noted(method: T) -> T:
    function: Any = method

    @functools.wraps(function)
    async def told(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    return cast(T, told)


def test_rpc_stands_above_other_decorators() -> None:
    class Noted(Written):
        @noted
        @rpc
        async def word(self, language: str) -> str:
            return "never said"

    with pytest.raises(ContractError, match="word has a decorator above @rpc: put @rpc on top"):
        Server(Noted())

    class Kept(Written):
        @rpc
        @noted
        async def word(self, language: str) -> str:
            return "said"

    Server(Kept())
    with pytest.raises(ContractError, match=r"Lost\.word has a decorator above @rpc: put @rpc on"):

        @service("lost")
        class Lost:
            @noted
            @rpc
            async def word(self, language: str) -> str:
                raise NotImplementedError
