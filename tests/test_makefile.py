"""The Makefile refuses a Python that is not the one of the .venv that is there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOLD = ("MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "PYTHON")


def made(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Without what a `make PYTHON=... test` that these tests may run in tells those within it."""
    environment = {name: each for name, each in os.environ.items() if name not in TOLD}
    return subprocess.run(
        ["make", *arguments],
        check=False,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("target", ["setup", "build"])
def test_another_python_than_that_of_the_venv(tmp_path: Path, target: str) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho Python 3.11.0rc1\n")
    python.chmod(0o755)
    refused = made(tmp_path, target, f"PYTHON={sys.executable}")
    assert refused.returncode == 2
    assert f".venv has Python 3.11.0rc1, and not that of PYTHON={sys.executable}" in refused.stderr
    assert made(tmp_path, "same", f"PYTHON={python}").returncode == 0
    assert made(tmp_path, "same").returncode == 0
