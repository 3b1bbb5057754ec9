"""Values of every supported type, there and back: `python -m tests.machnet_rpc.values`.

Each type has a method of its own, whose handler gives back what it is given; a value goes through
the codec of a client and of a server, and two engines over UDP on loopback, twice. hypothesis
draws the values.
"""

import argparse
import asyncio
import random
import time
from typing import Any, Final

import uvloop
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from machnet_rpc import Client, Service, connect, serve
from machnet_rpc._transports.ladder import Via
from machnet_rpc.service import Method
from tests.idl.values import TYPES
from transport_engine.config import EngineConfig

TOGETHER: Final = 20  # values under way at one time
_PHASES: Final = (Phase.explicit, Phase.generate)  # what failed is shown as it was sent


def contract() -> tuple[Service, list[Method[..., Any]]]:
    """A service, and its method for each type, in the order of TYPES."""
    mirror = Service("mirror")
    return mirror, [_add(mirror, number, kind) for number, (kind, _) in enumerate(TYPES)]


def _add(mirror: Service, number: int, annotation: Any) -> Method[..., Any]:
    async def back(it: Any) -> Any:
        return it

    back.__name__ = f"back_{number}"
    back.__annotations__ = {"it": annotation, "return": annotation}
    method: Method[..., Any] = mirror.rpc(timeout=60.0)(back)
    return method


async def mirrored(via: Via, examples: int, number: int) -> int:
    """Sends so many lists of values of every type and compares; returns how many values.

    Errors: AssertionError with the type and the value.
    """
    mirror, methods = contract()
    count = 0
    async with (
        serve(mirror, "127.0.0.1:0", via=via) as server,
        connect(server.address, via=via) as client,
    ):
        for method, (annotation, values) in zip(methods, TYPES, strict=True):
            drawn = _drawn(values, examples, number)
            for first in range(0, len(drawn), TOGETHER):
                await _compare(client, method, annotation, drawn[first : first + TOGETHER])
            count += len(drawn)
    return count


async def _compare(
    client: Client, method: Method[..., Any], annotation: Any, sent: list[Any]
) -> None:
    got = await client.call_many(method, sent)
    for value, back in zip(sent, got, strict=True):
        assert back == value, f"{annotation}: {value!r} came back as {back!r}"


def _drawn(values: st.SearchStrategy[Any], examples: int, number: int) -> list[Any]:
    """hypothesis cannot wait for an answer, so it draws first."""
    drawn: list[Any] = []

    @seed(number)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=_PHASES,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.filter_too_much,
            HealthCheck.data_too_large,
        ],
    )
    @given(values)
    def draw(value: Any) -> None:
        drawn.append(value)

    draw()
    return drawn


def main() -> None:
    """As many as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=1000, help="of each type")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    arguments = parser.parse_args()
    started = time.process_time()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        count = runner.run(mirrored(EngineConfig(), arguments.examples, arguments.seed))
    print(
        f"{count} values of {len(TYPES)} types, seed {arguments.seed}: all came back equal; "
        f"{time.process_time() - started:.0f} s of CPU"
    )


if __name__ == "__main__":
    main()
