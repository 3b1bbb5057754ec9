"""An engine's counters by name; the names are those of `struct te_stats`."""

from typing import Any, Final, TypeAlias

from transport_engine._native import ffi

Stats: TypeAlias = dict[str, int]
"""Counters of an engine by their names, which are those of `struct te_stats`."""

FIELDS: Final[tuple[str, ...]] = tuple(name for name, _ in ffi.typeof("struct te_stats").fields)


_LATEST: Final = ("now_ns",)  # not a count


def summed(parts: list[Stats]) -> Stats:
    """The counters of several engines together."""
    return {
        name: (max if name in _LATEST else sum)(part[name] for part in parts) for name in FIELDS
    }


def stats_of(stats: Any) -> Stats:
    """Copies a `struct te_stats`."""
    return {name: getattr(stats, name) for name in FIELDS}
