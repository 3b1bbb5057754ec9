"""One run: starts what a contender needs, lets its client do a task, and stops everything again.

Every process ends with the run: workers when their stdin ends, the others by their own contexts.
"""

import json
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from benchmarks.contender import Place
from benchmarks.contenders import CONTENDERS
from benchmarks.tasks import Task
from benchmarks.worker import Job

ROOT = Path(__file__).resolve().parent.parent
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 -- a folder of its own is made there
START_TIMEOUT_S = 30.0
RUN_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 5.0


class RunFailedError(Exception):
    """A run gave no figures; says why."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Where server and client run: addresses, and the network namespaces that have them."""

    host: str = "127.0.0.1"
    client_host: str = "127.0.0.1"
    server_netns: str = ""
    client_netns: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """What a client came back with."""

    figures: dict[str, float]
    travelled: str = ""
    lines_ns: list[float] = field(default_factory=list[float])
    """What a line took between the processors before the run, and after it."""


def run(name: str, task: Task, setting: Setting | None = None) -> Said:
    """One run of a contender. Errors: RunFailedError, OSError."""
    setting = setting or Setting()
    contender = CONTENDERS[name]()
    with tempfile.TemporaryDirectory(prefix="mrpc-bench-", dir=_memory_folder()) as folder:
        place = Place(
            free_port(),
            Path(folder),
            setting.host,
            setting.client_host,
            max([load.window for load in task.loads], default=1),
            max([load.size_bytes for load in task.loads], default=1024),
        )
        job = Job("server", name, place, task)
        with contender.beside(place) as beside:
            if contender.one_process:
                return _client(replace(job, place=replace(place, pids=tuple(beside))), setting)
            with Worker(job, setting.server_netns) as server:
                if server.line(START_TIMEOUT_S) != "ready":
                    raise RunFailedError(f"{name}: the server did not start: {server.errors()}")
                pids = (server.pid, *beside)
                return _client(replace(job, place=replace(place, pids=pids)), setting)


def _client(job: Job, setting: Setting) -> Said:
    with Worker(replace(job, role="client"), setting.client_netns) as client:
        line = client.line(RUN_TIMEOUT_S + job.task.idle_s)
        if not line:
            raise RunFailedError(f"{job.contender}: no figures in time: {client.errors()}")
    said: dict[str, Any] = json.loads(line)
    return Said(**said)


class Worker:
    """A worker process, until the end of the context."""

    def __init__(self, job: Job, netns: str) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 -- closed with the worker
        prefix = ["ip", "netns", "exec", netns] if netns else []  # becomes the worker itself
        argv: Sequence[str] = [*prefix, sys.executable, "-m", "benchmarks.worker", job.packed()]
        self._process = subprocess.Popen(
            argv,
            bufsize=0,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,  # an interrupt from the terminal is for the parent alone
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        if exception[0] is not None:
            process.kill()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        self._log.close()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def line(self, timeout_s: float) -> str:
        """What it says next; empty if it ended, or said nothing in time."""
        stdout = self._process.stdout
        assert stdout is not None
        said = b""
        deadline_s = time.monotonic() + timeout_s
        while not said.endswith(b"\n"):
            left_s = max(deadline_s - time.monotonic(), 0)
            piece = stdout.read(1 << 16) if select.select([stdout], [], [], left_s)[0] else b""
            if not piece:
                return ""
            said += piece
        return said.decode().strip()

    def errors(self) -> str:
        """The last line of what it complained about."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def _memory_folder() -> Path | None:
    return SHARED_MEMORY if SHARED_MEMORY.is_dir() else None


def free_port() -> int:
    """A port that is free for TCP and for UDP."""
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        port: int = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", port))
        return port
