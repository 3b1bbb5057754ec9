"""A sidecar of a benchmark ends with whoever started it, however that ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.tidy.tree import ROOT

STARTER = """
import signal, sys
from pathlib import Path
from benchmarks.sidecars import EngineToml, running

with running(Path(sys.argv[1]), EngineToml("engine", "127.0.0.1")) as pid:
    print(pid, flush=True)
    signal.pause()
"""


def test_a_sidecar_ends_with_its_starter(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", STARTER, str(tmp_path)]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        starter.kill()
    waiting = ["tail", f"--pid={pid}", "-s", "0.05", "-f", "/dev/null"]
    try:
        subprocess.run(waiting, check=True, timeout=30)
    except subprocess.TimeoutExpired:
        os.kill(pid, signal.SIGTERM)
        raise
