"""Ctrl-C ends a command with status 130 and not one word more, whenever it comes."""

import asyncio
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from machnet_rpc import cli
from tests.tidy.tree import ROOT

# Interrupts its process as it begins to import a module, or once its main program has ended.
SITE = """
import atexit, os, sys
import _signal as signal  # and not what `signal` imports, in which an interrupt may come, too

moment = os.environ["INTERRUPTED_AT"]

def interrupt(event="import", names=(moment,)):
    if event == "import" and names[0] == moment:
        os.kill(os.getpid(), signal.SIGINT)

if moment == "exit":
    atexit.register(interrupt)
else:
    sys.addaudithook(interrupt)
"""
MOMENTS = [
    "enum",
    "typing",
    "machnet_rpc._aio.limits",  # the first that the package imports
    "pydantic",
    "machnet_rpc.cli",
    "uvloop",
    "machnet_rpc.cli.top",
    "exit",
]


def commands() -> dict[str, list[str]]:
    """The two ways to start it; the installed script is written as pip would."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, function = project["scripts"]["mrpc"].partition(":")
    script = f"import sys; from {module} import {function}; sys.exit({function}())"
    return {
        "script": [sys.executable, "-c", script],
        "module": [sys.executable, "-m", "machnet_rpc.cli"],
    }


@pytest.mark.parametrize("command", commands())
@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_ends_a_command_that_starts_or_ends(
    command: str, moment: str, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SITE, encoding="utf-8")
    paths = f"{tmp_path}{os.pathsep}{ROOT}"
    done = subprocess.run(
        ["env", "--default-signal=INT", *commands()[command], "schema", "--help"],
        check=False,
        env={**os.environ, "PYTHONPATH": paths, "INTERRUPTED_AT": moment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (130, "")
    assert ("usage: mrpc schema" in done.stdout) == (moment == "exit")


def test_ctrl_c_before_the_event_loop_is_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(asyncio, "Runner", interrupted)
    assert cli.main(["ping", "127.0.0.1:1"]) == 130  # and no coroutine is left to warn of
    assert capsys.readouterr() == ("", "")
