"""How a coroutine ended, apart from the task that ran it.

Asyncio's frames hold the task, and what was raised holds those frames: with a failure as its
result, or as its error, a task would be the garbage collector's. Does not know what is run.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")

Outcome: TypeAlias = tuple[T | None, Exception | None]


async def told(
    function: Callable[..., Awaitable[T]], args: tuple[Any, ...], outcome: list[Outcome[T]]
) -> None:
    """Hands over the result of what is awaited, or what it raised, to be taken once."""
    try:
        outcome.append((await function(*args), None))
    except Exception as error:  # noqa: BLE001 (it is raised once the task is gone)
        outcome.append((None, error))
