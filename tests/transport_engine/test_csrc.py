"""Runs the C core's unit tests: one item for each cmocka program, its output shown on failure."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ahead import Ahead, ahead, asked
from tests.c_builds import ADDRESS, THREAD, CBuild, run_program

FOLDER = Path(__file__).parent / "csrc"
PURE = ("base", "flow", "ip", "sim")  # no clock, no other process; they are over before the rest
TESTS = sorted(
    (path.relative_to(FOLDER).with_suffix("") for path in FOLDER.glob("*/test_*.c")),
    key=lambda test: (test.parts[0] not in PURE, test),
)
# The layer in which two threads meet, a whole engine among threads, and several engines.
WHOLE = ("test_team", "test_threads")
THREADED = [test for test in TESTS if test.parts[0] == "shm" or test.name in WHOLE]
TIMEOUT_S = 120.0

Done = subprocess.CompletedProcess[str]


def run(build: CBuild, test: Path) -> Done:
    program = build.program("tests/transport_engine/csrc/" + "_".join(test.parts))
    return run_program([str(program)], TIMEOUT_S)


@pytest.fixture(scope="module")
def pure(request: pytest.FixtureRequest) -> Iterator[Ahead[Path, Done]]:
    tests = asked(request, test_under_address_sanitizer, "test")
    pure = [test for test in tests if test.parts[0] in PURE and ADDRESS.lacks() is None]
    with ahead(lambda test: run(ADDRESS, test), pure) as done:
        yield done


@pytest.mark.parametrize("test", TESTS, ids=str)
def test_under_address_sanitizer(pure: Ahead[Path, Done], test: Path) -> None:
    missing = ADDRESS.lacks()
    if missing is not None:
        pytest.skip(missing)
    done = pure[test] if test.parts[0] in PURE else run(ADDRESS, test)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("test", THREADED, ids=str)
def test_under_thread_sanitizer(test: Path) -> None:
    missing = THREAD.lacks()
    if missing is not None:
        pytest.skip(missing)
    done = run(THREAD, test)
    assert done.returncode == 0, done.stdout
