"""Engines, servers and loads as real processes, in network namespaces where a test made some.

Each process is ended by its own id, in reverse order of starting, whatever the test did.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 30.0
STOP_SECONDS = 15.0
MRPC = [sys.executable, "-m", "machnet_rpc.cli"]


class Running:
    """One process and what it printed."""

    def __init__(self, argv: Sequence[str], netns: str | None = None) -> None:
        prefix = ["ip", "netns", "exec", netns] if netns else []
        self.process = subprocess.Popen(
            [*prefix, *argv], bufsize=0, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )  # without a buffer, in which lines would wait unseen by select
        self._said = b""

    @classmethod
    def of(cls, process: subprocess.Popen[bytes]) -> Self:
        """For a process that was started in another way; its stdout is a pipe."""
        running = cls.__new__(cls)
        running.process, running._said = process, b""
        return running

    @property
    def pid(self) -> int:
        return self.process.pid

    def line(self, timeout: float = READY_SECONDS) -> dict[str, Any]:
        """The next line that it prints in JSON; lines that are not JSON are kept for errors."""
        deadline = time.monotonic() + timeout
        while True:
            line = self.text(deadline - time.monotonic())
            if line.startswith("{"):
                said: dict[str, Any] = json.loads(line)
                return said

    def has_line(self) -> bool:
        """Whether a line waits to be read."""
        assert self.process.stdout is not None
        return bool(select.select([self.process.stdout], [], [], 0)[0])

    def text(self, timeout: float = READY_SECONDS) -> str:
        """The next line that it prints, whatever it is."""
        assert self.process.stdout is not None
        if timeout <= 0 or not select.select([self.process.stdout], [], [], timeout)[0]:
            raise AssertionError(f"said nothing in time; before: {self._said.decode()}")
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"ended with {self.process.wait()}: {self._said.decode()}")
        self._said += line
        return line.decode()

    def kill(self) -> None:
        """kill -9, and waits for the end."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """An orderly end; returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not stop; said: {self._said.decode()}") from None
        finally:
            assert self.process.stdout is not None
            self.process.stdout.close()
        return status

    def cpu_seconds(self) -> float:
        """Processor time used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stand_still(pid: int) -> None:
    """SIGSTOP, and waits until it works in every thread: `kill` returns some milliseconds before.

    Raises AssertionError where a thread still runs after `STOP_SECONDS`.
    """
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + STOP_SECONDS
    while not all(_stands(thread) for thread in Path(f"/proc/{pid}/task").iterdir()):
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.001)


def _stands(thread: Path) -> bool:
    try:
        return (thread / "stat").read_text().rpartition(")")[2].split()[0] in "TZX"
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return True


class Fleet:
    """Processes that end together, the last started first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[Running] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for running in reversed(self._running):
            if running.process.poll() is None:
                running.stop()
            elif running.process.stdout is not None:
                running.process.stdout.close()

    @property
    def latest(self) -> Running:
        """The process that was started last."""
        return self._running[-1]

    def start(self, argv: Sequence[str], netns: str | None = None) -> Running:
        running = Running(argv, netns)
        self._running.append(running)
        return running

    def engine(self, name: str, engine: str, netns: str | None = None) -> Path:
        """Starts an engine with lines for its [engine] table; returns its socket once it is up."""
        socket = self.folder / f"{name}.sock"
        config = self.folder / f"{name}.toml"
        config.write_text(f'[engine]\n{engine}\n[control]\nsocket = "{socket}"\n')
        self.engine_again(name, netns)
        return socket

    def engine_again(self, name: str, netns: str | None = None) -> None:
        """Starts an engine that was killed."""
        config = self.folder / f"{name}.toml"
        self.start([*MRPC, "engine", "--json", "--config", str(config)], netns).line()

    def serve(self, address: str, engine: Path | None = None, netns: str | None = None) -> str:
        """Serves tests.e2e.echo; returns its address once it accepts calls."""
        argv = [*MRPC, "serve", "tests.e2e.echo:EchoServer", "--json", "--listen", address]
        running = self.start([*argv, *(["--engine", str(engine)] if engine else [])], netns)
        said: str = running.line()["address"]
        return said

    def cpu_seconds(self) -> list[float]:
        """Of each process, in the order of starting."""
        return [running.cpu_seconds() for running in self._running]

    def load(
        self,
        calls: int,
        window: int,
        address: str,
        engine: Path | None = None,
        netns: str | None = None,
        timeout: float = 120.0,
    ) -> dict[str, Any]:
        """Runs the load of tests.e2e.echo to its end; returns what it printed."""
        return self.start_load(calls, window, address, engine, netns).line(timeout)

    def start_load(
        self,
        calls: int,
        window: int,
        address: str,
        engine: Path | None = None,
        netns: str | None = None,
    ) -> Running:
        """Starts that load; its line is what it prints at its end."""
        argv = [sys.executable, "-m", "tests.e2e.echo", str(calls), str(window), address]
        return self.start([*argv, *(["--engine", str(engine)] if engine else [])], netns)


def ip(*words: str) -> None:
    """Runs one `ip` command."""
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextmanager
def two_hosts() -> Generator[tuple[str, str]]:
    """Two network namespaces joined by a veth pair; yields their names.

    The first has the kernel's address taken off, for an engine that brings its own 10.77.0.1; the
    second is 10.77.0.2. Devices are named mrpc0 in both.
    """
    names = (f"mrpc-a-{os.getpid()}", f"mrpc-b-{os.getpid()}")
    made: list[str] = []
    try:
        for name in names:
            ip("netns", "add", name)
            made.append(name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("link", "add", "mrpc0", "netns", names[0], "type", "veth", "peer", "mrpc0", "netns",
           names[1])  # fmt: skip
        ip("-n", names[1], "address", "add", "10.77.0.2/24", "dev", "mrpc0")
        for name in names:
            ip("-n", name, "link", "set", "mrpc0", "up")
        yield names
    finally:
        for name in made:
            ip("netns", "delete", name)
