"""The same tests again: of the extension under sanitizers, and with all of it in Python."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.ahead import Ahead, ahead
from tests.c_builds import ENGINE, ROOT
from tests.e2e.guests import sanitized_environment, sanitized_package

SECONDS_MAX = 600.0  # of each; they run at once, and build first
pytestmark = pytest.mark.timeout(1500)
NATIVE = [
    "test_crossing.py",
    "test_pump.py",
    "protocol",
    "test_awaited_calls.py",
    "test_caller.py",
    "test_collected.py",
    "test_desk.py",
    "test_desk_results.py",
    "test_desk_waits.py",
    "test_exchange.py",
    "test_handler_task.py",
    "test_interrupted_requests.py",
    "test_call_many.py",
    "test_crossing_large.py",
    "test_leases.py",
    "test_requester.py",
    "test_statistics.py",
    "test_steps.py",
    "test_sync.py::test_calls_of_every_form",
    "test_sync_interrupts.py::test_ctrl_c_ends_a_call_at_once",
]
PYTHON = [
    "test_calls.py",
    "test_pump.py",
    "protocol",
    "test_handler_task.py",
    "test_interrupted_requests.py",
    "test_call_many.py",
    "test_steps.py",
    "test_sync.py",
    "test_acknowledged.py",
]
ONE_OF_EACH = "not sidecar and not uvloop"  # the rest differs in what this is not about


Again = subprocess.CompletedProcess[str]
Runs = Ahead[Callable[[], Again], Again]


def again(environment: dict[str, str], files: list[str]) -> Again:
    """Runs tests of this folder in a process of its own."""
    paths = [f"tests/machnet_rpc/{name}" for name in files]
    argv = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-x"]
    return subprocess.run(
        [*argv, "-k", ONE_OF_EACH, *paths],
        check=False,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS_MAX,
    )


def under_sanitizers() -> Again:
    folder = sanitized_package()
    environment = sanitized_environment() | {"PYTHONPATH": str(folder)}
    where = subprocess.run(
        [sys.executable, "-P", "-c", "from machnet_rpc import _crossing as c; print(c.__file__)"],
        check=True,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert where.stdout.startswith(str(folder))
    return again(environment, NATIVE)


def in_python() -> Again:
    return again(os.environ | {"MRPC_CROSSING": "python"}, PYTHON)


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest) -> Iterator[Runs]:
    """Both at once, where both are asked for."""
    builds = {test_under_sanitizers: under_sanitizers, test_in_python: in_python}
    functions = [getattr(item, "function", None) for item in request.session.items]
    wanted = [build for test, build in builds.items() if test in functions]
    if ENGINE.lacks() is not None and under_sanitizers in wanted:
        wanted.remove(under_sanitizers)
    with ahead(lambda build: build(), wanted) as done:
        yield done


def test_under_sanitizers(runs: Runs) -> None:
    if ENGINE.lacks() is not None:
        pytest.skip(str(ENGINE.lacks()))
    done = runs[under_sanitizers]
    assert done.returncode == 0, done.stdout
    assert "runtime error:" not in done.stdout


def test_in_python(runs: Runs) -> None:
    done = runs[in_python]
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout
