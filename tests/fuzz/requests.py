"""Requests to a control socket, good ones and what becomes of them by mutation."""

import random
from collections.abc import Callable
from typing import Any, Final

import msgpack

from transport_engine._native import lib
from transport_engine.messages import MESSAGE_BYTES_MAX

_msgpack: Final[Any] = msgpack  # its functions are untyped
_EDGES: Final = (0, 1, -1, 255, 65535, 65536, 1 << 31, 1 << 32, (1 << 63) - 1, (1 << 64) - 1)
_TEXTS: Final = ("127.0.0.1:40000", "[::1]:7000", "[::ffff:127.0.0.1]:40001", "", "x" * 65, "1:2:3")
_KEYS: Final = (
    "op",
    "id",
    "version",
    "ring_bytes",
    "port",
    "remote",
    "token",
    "first",
    "direct",
    "pair",
    "more",
)


def mutated(rng: random.Random) -> bytes:
    """A request, unharmed, with a strange value, or with its bytes changed."""
    request = _good(rng)
    dice = rng.random()
    if dice < 0.3:
        return bytes(_msgpack.packb(request))
    if dice < 0.6:
        request[rng.choice(_KEYS)] = _strange(rng)
        return bytes(_msgpack.packb(request))[: MESSAGE_BYTES_MAX * 2]
    data = bytearray(_msgpack.packb(request))
    for _ in range(rng.randint(1, 4)):
        rng.choice(_CHANGES)(rng, data)
    return bytes(data[: MESSAGE_BYTES_MAX * 2]) or b"\0"


def _good(rng: random.Random) -> dict[str, Any]:
    number = rng.getrandbits(32)
    port = rng.choice((0, 40000 + rng.randrange(1000), rng.randrange(65536)))
    requests: tuple[dict[str, Any], ...] = (
        {
            "op": "attach",
            "id": number,
            "version": 1,
            "ring_bytes": lib.TE_RING_BYTES_MIN,
            "direct": rng.random() < 0.5,
        },
        {"op": "listen", "id": number, "port": port},
        {"op": "unlisten", "id": number, "port": port},
        {"op": "flows", "id": number, "first": rng.choice((0, port, number))},
        {"op": "connect", "id": number, "remote": f"127.0.0.1:{port}", "token": number},
        {
            "op": "connect",
            "id": number,
            "remote": f"127.0.0.1:{port}",
            "token": number,
            "direct": rng.random() < 0.5,
        },
        {"op": "mapped", "id": number, "pair": rng.randrange(8)},
        {"op": "unpair", "id": number, "pair": rng.randrange(8)},
        {"op": "stats", "id": number},
        {"op": "detach", "id": number},
    )
    return dict(rng.choice(requests))


def _strange(rng: random.Random) -> Any:
    kinds: tuple[Callable[[], Any], ...] = (
        lambda: rng.choice(_EDGES[:-1]),
        lambda: rng.choice(_TEXTS),
        lambda: None,
        lambda: rng.random(),
        lambda: rng.randbytes(rng.randrange(64)),
        lambda: [[]] * rng.randrange(64),
        lambda: {"op": rng.choice(_TEXTS)},
        lambda: rng.random() < 0.5,
        lambda: _msgpack.ExtType(rng.randrange(128), rng.randbytes(8)),
    )
    return rng.choice(kinds)()


def _flip(rng: random.Random, data: bytearray) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _replace(rng: random.Random, data: bytearray) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.choice((0x00, 0x7F, 0x80, 0xC1, 0xDB, 0xDF, 0xFF))


def _cut(rng: random.Random, data: bytearray) -> None:
    del data[rng.randint(0, len(data)) :]


def _insert(rng: random.Random, data: bytearray) -> None:
    place = rng.randint(0, len(data))
    data[place:place] = rng.randbytes(rng.choice((1, 2, 8, 64)))


def _repeat(rng: random.Random, data: bytearray) -> None:
    data *= rng.randint(2, 5)


def _nest(rng: random.Random, data: bytearray) -> None:
    data[0:0] = bytes([rng.choice((0x91, 0x81))]) * rng.choice((1, 100, 2000, 4000))


_CHANGES: Final = (_flip, _replace, _cut, _insert, _repeat, _nest)
