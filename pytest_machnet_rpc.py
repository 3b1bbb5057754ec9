"""For tests of services under pytest: fixtures, and a seed that a failure tells.

Is there once machnet-rpc is installed, for tests of asyncio of any kind: those of pytest-asyncio,
of anyio, or that call asyncio.run. Stands beside the packages and imports nothing of them before a
fixture is used, so that it costs those nothing who do not use it.
"""

import functools
import random
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from machnet_rpc.client import Client
    from machnet_rpc.server import Server
    from machnet_rpc.testing import VirtualClock

SEED: Final = 1
DRAWN_BELOW: Final = 1 << 32
_KEY: Final = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds --rpc-seed."""
    parser.getgroup("machnet-rpc").addoption(
        "--rpc-seed",
        type=_seed,
        default=SEED,
        metavar="N",
        help="seed of the faults of rpc_client and rpc_seed; random: another one in each run",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declares the marker."""
    config.addinivalue_line(
        "markers", "rpc_seed(seed): the seed of this test's faults, whatever --rpc-seed says"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Has a failure say its seed."""
    report = yield
    seed = item.stash.get(_KEY, None)
    if seed is not None and report.failed:
        report.sections.append(("rpc seed", f"the faults are drawn again by --rpc-seed={seed}"))
    return report


@pytest.fixture
def rpc_seed(request: pytest.FixtureRequest) -> int:
    """The seed of this test: of its marker `rpc_seed(7)`, else of --rpc-seed."""
    marker = request.node.get_closest_marker("rpc_seed")
    if marker and len(marker.args) != 1:
        raise pytest.UsageError("the marker rpc_seed takes the seed, as in rpc_seed(7)")
    chosen: Any = marker.args[0] if marker else request.config.getoption("--rpc-seed")
    seed = int(chosen)
    request.node.stash[_KEY] = seed
    return seed


@pytest.fixture
def rpc_clock() -> "VirtualClock":
    """A virtual clock that does not run yet: `async with rpc_clock: ...`."""
    from machnet_rpc.testing import VirtualClock

    return VirtualClock()


@pytest.fixture
def rpc_client(rpc_seed: int) -> "Callable[..., AbstractAsyncContextManager[Client]]":
    """`machnet_rpc.testing.test_client` with this test's seed.

    async with rpc_client(Store(), drop=0.01) as client: ...
    """
    from machnet_rpc.testing import test_client

    return functools.partial(test_client, seed=rpc_seed)


@pytest.fixture
def rpc_server() -> "Callable[..., AbstractAsyncContextManager[Server]]":
    """Serves at a free port of 127.0.0.1, by an engine in this process; `connect` reaches it.

    async with rpc_server(Store()) as server, connect(server.address) as client: ...
    """
    from machnet_rpc.server import serve
    from machnet_rpc.testing import GRACE_SECONDS
    from transport_engine.config import EngineConfig

    return functools.partial(serve, address="127.0.0.1:0", via=EngineConfig(), grace=GRACE_SECONDS)


def _seed(word: str) -> int:
    """What --rpc-seed says. Errors: ValueError."""
    if word == "random":
        return random.randrange(DRAWN_BELOW)  # noqa: S311 (it is told, and keeps no secret)
    return int(word)
