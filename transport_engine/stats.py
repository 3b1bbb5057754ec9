"""An engine's counters by name; the names are those of `struct te_stats`."""

from typing import Any, Final, TypeAlias

from transport_engine._native import ffi

Stats: TypeAlias = dict[str, int]

FIELDS: Final[tuple[str, ...]] = tuple(name for name, _ in ffi.typeof("struct te_stats").fields)


def stats_of(stats: Any) -> Stats:
    """Copies a `struct te_stats`."""
    return {name: getattr(stats, name) for name in FIELDS}
