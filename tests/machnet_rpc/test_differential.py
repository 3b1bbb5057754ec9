"""What crosses in C ends as what crosses in Python, also where the collector runs all the time."""

import difflib
import os
import subprocess
import sys

import pytest

from machnet_rpc._native import crossing

MODULE = "tests.machnet_rpc.differential"


def begun(seed: int, *options: str, **environment: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-W", "ignore", *options[:-1], "-m", MODULE, "--seed", str(seed)]
    argv += ["--operations", "150", *options[-1:]]
    return subprocess.Popen(
        argv,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lines_of(process: subprocess.Popen[str]) -> list[str]:
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return out.splitlines()


@pytest.mark.skipif(crossing is None, reason="there is nothing in C")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_both_crossings_give_the_same_outcomes(seed: int) -> None:
    in_c, in_python = begun(seed), begun(seed, MRPC_CROSSING="python")
    native, pure = lines_of(in_c), lines_of(in_python)
    assert len(native) >= 150
    assert native == pure, "\n".join(difflib.unified_diff(native, pure, "C", "Python", n=0))


def test_the_collector_changes_nothing() -> None:
    usual, collected = begun(4), begun(4, "-X", "dev", "--collect")
    lines = lines_of(usual)
    assert lines_of(collected) == lines
