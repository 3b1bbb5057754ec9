"""Results for the tests of a module, worked out on all processors ahead of those that ask for them.

For programs that compute, and that no clock judges. Each test still reports on its own result, and
what it says when it fails is its own. Does not know what is worked out.
"""

import os
from collections.abc import Callable, Generator, Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import pytest

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class Ahead(Generic[Key, Result]):
    """The results by their keys, each there when it is asked for."""

    def __init__(
        self, pool: ThreadPoolExecutor, work: Callable[[Key], Result], keys: Iterable[Key]
    ) -> None:
        self._futures = {key: pool.submit(work, key) for key in keys}

    def __getitem__(self, key: Key) -> Result:
        """Waits for a result. Errors: what the work raised."""
        return self._futures[key].result()


@contextmanager
def ahead(work: Callable[[Key], Result], keys: Iterable[Key]) -> Generator[Ahead[Key, Result]]:
    """Begins the work for all keys, in their order; what has not begun at the end never does."""
    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    try:
        yield Ahead(pool, work, keys)
    finally:
        pool.shutdown(cancel_futures=True)


def asked(request: pytest.FixtureRequest, test: Callable[..., object], parameter: str) -> list[Any]:
    """The values of a test's parameter that this run has selected."""
    return [
        item.callspec.params[parameter]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.function is test
    ]
