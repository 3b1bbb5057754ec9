"""Seeded damage to texts, bytes and JSON values, for tests of whatever reads them.

Does not know what is damaged. The same seed gives the same damage.
"""

import copy
import json
import random
from collections.abc import Iterator
from typing import Any, Final

_BYTES: Final = (b"\x00", b"\xff", b"\n", b'"', b"'", b"[", b"{", b"}", b"=", b",", b"-", b"9" * 40)
_VALUES: Final[tuple[Any, ...]] = (
    *(None, True, -1, 0, 1, 1 << 40, 1 << 64, -(1 << 64), 1e308, float("inf"), float("nan")),
    *("", "x", "\x00", "\ud800", "other", "y" * 5000, [], {}, [[]], {"": 1}),
)
_Path = tuple[Any, ...]


def damaged_bytes(rng: random.Random, data: bytes) -> bytes:
    """Some bytes changed, taken out, doubled or put in."""
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(damaged) + 1)
        end = at + rng.choice((1, 4, 64))
        match rng.randrange(5):
            case 0:
                damaged[at:at] = rng.choice(_BYTES) * rng.choice((1, 1, 1000))
            case 1:
                del damaged[at:end]
            case 2:
                damaged[at:at] = damaged[at:end]
            case 3:
                damaged[at:end] = rng.randbytes(end - at)
            case _:
                damaged[at : at + 1] = rng.choice(_BYTES)
    return bytes(damaged)


def damaged_value(rng: random.Random, value: Any) -> Any:
    """Some values in a JSON value replaced by others, or gone; some lists are longer."""
    damaged = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 2, 4))):
        places = [path for path in _paths(damaged) if path]
        if not places:
            return damaged
        *outer, last = rng.choice(places)
        holder = damaged
        for key in outer:
            holder = holder[key]
        if rng.randrange(5) == 0:
            del holder[last]
        else:
            was = holder[last]
            holder[last] = copy.deepcopy(rng.choice((*_VALUES, [was] * 3, {"a": was})))
    return damaged


def damaged_json(rng: random.Random, value: Any) -> str:
    """The same as text, of which some is damaged once more."""
    text = json.dumps(damaged_value(rng, value))
    if rng.randrange(4) > 0:
        return text
    return damaged_bytes(rng, text.encode()).decode(errors="surrogateescape")


def _paths(value: Any, path: _Path = ()) -> Iterator[_Path]:
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _paths(inner, (*path, index))
