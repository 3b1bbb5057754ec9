"""What commands say where a process may open hardly any file."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from transport_engine.descriptors import check_descriptors

MRPC = (sys.executable, "-m", "machnet_rpc.cli")


@pytest.mark.parametrize("files_max", [8, 10, 13, 20])
@pytest.mark.parametrize("command", ["engine", "call 127.0.0.1:1 kv/get"])
def test_without_descriptors_it_says_what_to_raise(
    command: str, files_max: int, tmp_path: Path
) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))

    name = "--socket" if command == "engine" else "--engine"
    done = subprocess.run(
        [*MRPC, *command.split(), name, str(tmp_path / "engine.sock")],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=limit,
    )
    (line,) = done.stderr.splitlines()
    assert line.startswith("mrpc: ")
    assert line.endswith("raise `ulimit -n`")
    assert done.returncode == 3


def test_they_are_counted_where_there_is_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a folder that something was confined to by chroot."""
    monkeypatch.setattr(os, "devnull", "/there is none")
    before = os.listdir("/proc/self/fd")
    check_descriptors()
    assert os.listdir("/proc/self/fd") == before
