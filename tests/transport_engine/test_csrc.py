"""Runs the C core's unit tests: one item for each cmocka program, its output shown on failure."""

from pathlib import Path

import pytest

from tests.c_builds import ADDRESS, THREAD, CBuild, run_program

FOLDER = Path(__file__).parent / "csrc"
TESTS = sorted(path.relative_to(FOLDER).with_suffix("") for path in FOLDER.glob("*/test_*.c"))
# The layer in which two threads meet, a whole engine among threads, and several engines.
WHOLE = ("test_team", "test_threads")
THREADED = [test for test in TESTS if test.parts[0] == "shm" or test.name in WHOLE]
TIMEOUT_S = 120.0


def run_test(build: CBuild, test: Path) -> None:
    missing = build.lacks()
    if missing is not None:
        pytest.skip(missing)
    program = build.program("tests/transport_engine/csrc/" + "_".join(test.parts))
    done = run_program([str(program)], TIMEOUT_S)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("test", TESTS, ids=str)
def test_under_address_sanitizer(test: Path) -> None:
    run_test(ADDRESS, test)


@pytest.mark.parametrize("test", THREADED, ids=str)
def test_under_thread_sanitizer(test: Path) -> None:
    run_test(THREAD, test)
