"""What a contract's methods give where calls block, to a type checker and to users.

Does not know clients and loops.
"""

import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Generic, ParamSpec, Protocol, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
R_co = TypeVar("R_co", covariant=True)


class BlockingContract:
    """To be mixed with a contract, so that type checkers know the blocking client's stubs of it.

    Shape: `class BlockingGreeter(Greeter, BlockingContract): ...`, which needs no line more.
    """


class BlockingCall(Protocol[P, R_co]):
    """What `machnet_rpc.sync` has in the place of a BoundMethod."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    def using(
        self,
        *,
        timeout: float | None = None,
        wait: bool | None = None,
        key: str | None = None,
        metadata: Mapping[str, str | bytes] | None = None,
        reply_metadata: dict[str, str | bytes] | None = None,
        priority: int | None = None,
    ) -> "BlockingCall[P, R_co]": ...


class BlockingReading(Protocol[T_co]):
    """One call under way, of which a BlockingStream is the handle."""

    @property
    def name(self) -> str: ...

    def start(self) -> None: ...

    def next(self) -> T_co:
        """Errors: StopIteration, RpcError, what the contract declares."""
        ...

    def close(self) -> None: ...

    def abandon(self) -> None:
        """Ends the call from wherever the garbage collector runs."""
        ...


class BlockingStream(Generic[T_co]):
    """The items that a call gives: an iterator, and a context manager.

    The call starts with the first item that is asked for, or on entering. Leaving the block before
    the last item ends the call on both sides, and so does dropping the stream.
    """

    __slots__ = ("__weakref__", "_reading")

    def __init__(self, reading: BlockingReading[T_co]) -> None:
        self._reading = reading

    def __repr__(self) -> str:
        return f"<Stream of {self._reading.name}>"

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T_co:
        """The next item. Errors: RpcError and what the contract declares, after the last item."""
        return self._reading.next()

    def close(self) -> None:
        """Ends the call if it has not ended; a second time does nothing."""
        self._reading.close()

    def __enter__(self) -> Self:
        self._reading.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self._reading.abandon()


class Items(AsyncIterator[T]):
    """Items of a plain iterable, for a method that takes a stream.

    Blocking clients take the iterable as it is, too; type checkers want what the contract says.
    """

    def __init__(self, items: Iterable[T]) -> None:
        self._items = iter(items)

    def __iter__(self) -> Iterator[T]:
        return self._items

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        for item in self._items:
            return item
        raise StopAsyncIteration
