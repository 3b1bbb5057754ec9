"""The plugin for pytest: in the tests of its users, with asyncio of every kind."""

import ast
import subprocess
import sys

import pytest

pytest_plugins = ("pytester",)

SERVICE = """
import asyncio
import pytest
from machnet_rpc import Service, connect

kv = Service("kv")

@kv.rpc(idempotent=True)
async def double(number: int) -> int:
    await asyncio.sleep(number)
    return 2 * number

async def use(rpc_client, rpc_server, rpc_clock):
    async with rpc_clock, rpc_client(kv, drop=0.1) as client:
        assert await client.call(double, 4) == 8
        assert rpc_clock.elapsed >= 4
    async with rpc_server(kv) as server, connect(server.address) as client:
        assert await client.call(double, 0) == 0
    with pytest.raises(ValueError) as caught:
        async with rpc_client(kv):
            raise ValueError
    assert caught.value.__notes__ == ["with the faults of seed=7"]
"""


ASYNC = "async def test_it(rpc_client, rpc_server, rpc_clock):\n    await {}"
USE = "use(rpc_client, rpc_server, rpc_clock)\n"
TESTS = {
    "asyncio": "@pytest.mark.asyncio\n" + ASYNC.format(USE),
    "anyio": "anyio_backend = pytest.fixture(lambda: 'asyncio')\n@pytest.mark.anyio\n"
    + ASYNC.format(USE),
    "neither": "def test_it(rpc_client, rpc_server, rpc_clock):\n    asyncio.run(" + USE + ")\n",
}


@pytest.mark.parametrize("plugin", TESTS)
def test_fixtures(pytester: pytest.Pytester, plugin: str) -> None:
    pytester.makepyfile(SERVICE + TESTS[plugin])
    others = [each for each in ("asyncio", "anyio") if each != plugin]
    options = [word for each in others for word in ("-p", f"no:{each}")] + ["--rpc-seed=7"]
    done = pytester.runpytest_subprocess("-W", "ignore::pytest.PytestDeprecationWarning", *options)
    done.assert_outcomes(passed=1)


SEEDS = """
import pytest

def test_drawn(rpc_seed):
    assert rpc_seed == 0

@pytest.mark.rpc_seed(7)
def test_marked(rpc_seed):
    assert rpc_seed == 0

@pytest.mark.rpc_seed
def test_wrong(rpc_seed):
    pass

def test_without():
    assert not "a seed"
"""


def test_a_failure_tells_its_seed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SEEDS)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    done = pytester.runpytest_inprocess("--rpc-seed=41", "--strict-markers")
    done.assert_outcomes(failed=3, errors=1)
    said = [line for line in done.outlines if "the faults are drawn again" in line]
    assert [line.split()[-1] for line in said] == ["--rpc-seed=41", "--rpc-seed=7"]
    done.stdout.fnmatch_lines(["*the marker rpc_seed takes the seed, as in rpc_seed(7)*"])
    done = pytester.runpytest_inprocess("--rpc-seed=random", "-k", "drawn")
    assert "--rpc-seed=41\n" not in done.stdout.str()  # it may begin so
    done.stdout.fnmatch_lines(["the faults are drawn again by --rpc-seed=*"])
    done = pytester.runpytest_inprocess("--rpc-seed=some")
    assert done.ret == pytest.ExitCode.USAGE_ERROR


def test_it_loads_once(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself and by name, or by name alone."""
    pytester.makepyfile("def test_it(rpc_seed):\n    assert rpc_seed == 1\n")
    by_name = ("-p", "machnet_rpc.pytest_plugin")
    pytester.runpytest_subprocess(*by_name).assert_outcomes(passed=1)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.runpytest_subprocess(*by_name).assert_outcomes(passed=1)


def test_it_costs_nothing_who_does_not_use_it() -> None:
    program = (
        "import pytest, sys; before = set(sys.modules); import pytest_machnet_rpc; "
        "print(sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True)
    loaded = set(ast.literal_eval(done.stdout)) - set(sys.stdlib_module_names)
    assert loaded == {"pytest_machnet_rpc"}
