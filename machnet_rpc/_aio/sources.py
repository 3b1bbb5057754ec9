"""What a client's call is fed from where middleware stands between the two: closed with the call.

Does not know middleware, nor how a call is fed.
"""

from collections.abc import AsyncIterable, Callable
from typing import Any, Self

from machnet_rpc._aio.items import all_closed
from machnet_rpc.errors import ContractError


class Sources:
    """The async iterables of one request, as the caller gave them."""

    def __init__(self, request: dict[str, Any]) -> None:
        self._given = {name: each for name, each in request.items() if hasattr(each, "__aiter__")}
        self._taken: list[Any] = []  # by a call before, which closed them

    def begun(self, begin: Callable[..., Any], request: dict[str, Any], call: object) -> Any:
        """What `begin` makes of the request; that call closes what it is fed from, and these.

        Errors: ContractError for items that a call before was fed from.
        """
        for name, each in request.items():
            if hasattr(each, "__aiter__") and any(each is taken for taken in self._taken):
                raise ContractError(
                    f"the items of {name!r} are gone with the call before: to send it again, pass "
                    "`following` a request with new ones"
                )
        taken: list[Any] = []
        for name, given in self._given.items():
            items: Any = request.get(name)
            taken += given, items
            if items is not given and hasattr(items, "__aiter__"):
                request = request | {name: _Changed(items, given)}
        way = begin(request, call)
        self._taken += taken
        self._given = {}
        return way

    async def left(self) -> None:
        """No call begins any more: closes them, where none has."""
        given, self._given = self._given, {}
        await all_closed(list(given.values()))


class _Changed:
    """Items that are made of others: who closes these closes both."""

    def __init__(self, items: AsyncIterable[Any], others: AsyncIterable[Any]) -> None:
        self._items: Any = items
        self._others = others

    def __aiter__(self) -> Self:
        self._items = aiter(self._items)
        return self

    async def __anext__(self) -> Any:
        return await anext(self._items)

    async def aclose(self) -> None:
        """Errors: whatever either raises."""
        await all_closed([self._others, self._items])
