"""Control messages: what is said is understood, and any bytes give a request or an error."""

import random

import msgpack
import pytest

from transport_engine import PortInUseError, TransportError, messages
from transport_engine._native import lib
from transport_engine.messages import BadMessageError, Request

RANDOM_MESSAGES = 20_000

REQUESTS: list[Request] = [
    messages.Attach(id=1, ring_bytes=lib.TE_RING_BYTES_MIN),
    messages.Listen(id=2, port=7000),
    messages.Unlisten(id=3, port=0),
    messages.Connect(id=4, remote="10.0.0.2:7000", token=(1 << 64) - 1),
    messages.Pair(id=4, remote="10.0.0.2:7000"),
    messages.Mapped(id=7, pair=1),
    messages.Unpair(id=8, pair=(1 << 64) - 1),
    messages.Stats(id=5),
    messages.Detach(id=(1 << 64) - 1),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.op)
def test_requests_round_trip(request_: Request) -> None:
    assert messages.unpack_request(messages.pack_request(request_)) == request_


@pytest.mark.parametrize(
    "message",
    [
        {},
        [],
        5,
        None,
        {"op": "listen"},
        {"op": "listen", "id": 1},
        {"op": "listen", "id": 1, "port": 65536},
        {"op": "listen", "id": 1, "port": "7000"},
        {"op": "listen", "id": 1, "port": True},
        {"op": "listen", "id": -1, "port": 1},
        {"op": "listen", "id": 1, "port": 1, "more": 1},
        {"op": "nothing", "id": 1},
        {"op": ["listen"], "id": 1},
        {"op": "connect", "id": 1, "token": 1, "remote": "x" * 65},
        {"op": "pair", "id": 1, "remote": "10.0.0.2:7000", "token": 1},
        {"op": "mapped", "id": 1},
        {"op": "unpair", "id": 1, "pair": -1},
        {"op": "connect", "id": 1, "token": 1, "remote": b"10.0.0.2:7000"},
        {"op": "attach", "id": 1, "ring_bytes": 1},
        {"op": "attach", "id": 1, "ring_bytes": 1 << 40},
    ],
    ids=str,
)
def test_other_messages_are_refused(message: object) -> None:
    with pytest.raises(BadMessageError):
        messages.unpack_request(messages.pack(message))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(4))
def test_any_bytes_give_a_request_or_an_error(seed: int) -> None:
    source = random.Random(seed)
    good = [messages.pack_request(request) for request in REQUESTS]
    refused = 0
    for _ in range(RANDOM_MESSAGES):
        data = bytearray(source.choice(good))
        for _ in range(source.randrange(1, 6)):
            data[source.randrange(len(data))] = source.randrange(256)
        if source.random() < 0.5:
            data = bytearray(source.randbytes(source.randrange(64)))
        try:
            messages.unpack_request(bytes(data))
        except BadMessageError:
            refused += 1
    assert refused > RANDOM_MESSAGES // 2


@pytest.mark.parametrize("depth", [100, 1000, 4000])
def test_deep_nesting_is_refused(depth: int) -> None:
    with pytest.raises(BadMessageError):
        messages.unpack_request(b"\x91" * depth + b"\x00")


def test_errors_keep_their_class() -> None:
    answer = messages.unpack(messages.pack_error(7, PortInUseError("port 5 is in use")))
    error = messages.error_from(answer)
    assert answer["id"] == 7
    assert type(error) is PortInUseError
    assert str(error) == "port 5 is in use"


@pytest.mark.parametrize("name", ["NoSuchError", "ffi", "lib", "error_of", "Final"])
def test_other_names_give_the_base_class(name: str) -> None:
    error = messages.error_from({"error": {"name": name, "sentence": "x"}})
    assert type(error) is TransportError


def test_connect_names_an_endpoint() -> None:
    request = messages.Connect(id=1, remote="10.0.0.2:7000", token=0)
    assert str(messages.endpoint_of(request)) == "10.0.0.2:7000"
    with pytest.raises(BadMessageError, match="endpoint"):
        messages.endpoint_of(messages.Connect(id=1, remote="here", token=0))


def test_msgpack_sees_the_limit_of_its_input() -> None:
    with pytest.raises(ValueError, match="exceeds"):
        msgpack.unpackb(b"\xdd\xff\xff\xff\xff")
