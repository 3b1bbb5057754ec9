"""An ordered map from bytes to bytes in memory, within limits.

Pure: no I/O, no clock, no wire.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from sortedcontainers import SortedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping

ENTRY_BYTES = 160  # what CPython keeps around a key and its value, roughly


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a store takes; keys, values and ENTRY_BYTES each count towards `bytes_max`."""

    key_bytes_max: int = 1024
    value_bytes_max: int = 1 << 20
    bytes_max: int = 1 << 30
    page_items_max: int = 1000
    page_bytes_max: int = 4 << 20


class StoreError(Exception):
    """A request that the store refuses; nothing has changed."""


class KeyInvalidError(StoreError):
    """The key is empty or too long."""


class KeyMissingError(StoreError):
    """There is no such key."""


class ValueTooLargeError(StoreError):
    """The value, or a page of values, is longer than the limit."""


class StoreFullError(StoreError):
    """There is no room left; deleting makes some."""


@dataclass(frozen=True, slots=True)
class Page:
    """Items in key order; `next_key`: where to go on, None at the end."""

    items: list[tuple[bytes, bytes]]
    next_key: bytes | None


class Store:
    """The map; memory is bounded by its limits.

    Errors: StoreError and its kinds.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.size_bytes = 0
        ordered: Any = SortedDict()
        self._values = cast("MutableMapping[bytes, bytes]", ordered)
        # The library is untyped; this is the one method of it that a dict does not have.
        self._keys_from = cast("Callable[[bytes], Iterator[bytes]]", ordered.irange)

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, None where there is none."""
        self._check_key(key)
        return self._values.get(key)

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        """The values of `keys`, in their order.

        Errors: also ValueTooLargeError for more keys or bytes than a page may hold.
        """
        if len(keys) > self.limits.page_items_max:
            raise ValueTooLargeError(f"{len(keys)} keys; at most {self.limits.page_items_max}")
        values = [self.get(key) for key in keys]
        size = sum(len(value) for value in values if value is not None)
        if size > self.limits.page_bytes_max:
            raise ValueTooLargeError(
                f"values of {size} bytes; at most {self.limits.page_bytes_max} at once"
            )
        return values

    def put(self, key: bytes, value: bytes) -> bool:
        """Set the value of `key`; True if there was none before."""
        self._check_key(key)
        if len(value) > self.limits.value_bytes_max:
            raise ValueTooLargeError(
                f"a value of {len(value)} bytes; at most {self.limits.value_bytes_max}"
            )
        before = self._values.get(key)
        growth = len(value)
        growth += len(key) + ENTRY_BYTES if before is None else -len(before)
        if growth > 0 and self.size_bytes + growth > self.limits.bytes_max:
            full = f"{self.size_bytes} of {self.limits.bytes_max} bytes are taken"
            raise StoreFullError(f"the store is full: {full}; deleting keys makes room")
        self._values[key] = value
        self.size_bytes += growth
        return before is None

    def delete(self, key: bytes) -> bool:
        """Forget `key`; True if it was there."""
        self._check_key(key)
        value = self._values.pop(key, None)
        if value is None:
            return False
        self.size_bytes -= len(key) + len(value) + ENTRY_BYTES
        return True

    def scan(self, start: bytes, limit: int) -> Page:
        """Up to `limit` items from `start` on; fewer where a page would grow too large."""
        if not 0 < limit <= self.limits.page_items_max:
            raise ValueTooLargeError(
                f"limit {limit}; 1 to {self.limits.page_items_max} are allowed"
            )
        items: list[tuple[bytes, bytes]] = []
        size = 0
        for key in self._keys_from(start):
            value = self._values[key]
            size += len(key) + len(value)
            if len(items) == limit or (items and size > self.limits.page_bytes_max):
                return Page(items, key)
            items.append((key, value))
        return Page(items, None)

    def _check_key(self, key: bytes) -> None:
        if not 0 < len(key) <= self.limits.key_bytes_max:
            raise KeyInvalidError(
                f"a key of {len(key)} bytes; 1 to {self.limits.key_bytes_max} are allowed"
            )

    def __repr__(self) -> str:
        return f"<Store {len(self)} keys, {self.size_bytes} of {self.limits.bytes_max} bytes>"
