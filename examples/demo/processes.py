"""Child processes that are started one after another and always end together.

Each is a process group of its own, so that Ctrl-C reaches the demo alone, which then stops its
children in reverse order: clients before servers, servers before engines.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

STOP_SECONDS = 10.0  # that a child has for an orderly end before it is killed
LINE_BYTES_MAX = 1 << 20
TAIL_LINES = 12
CLOCK_TICK = os.sysconf("SC_CLK_TCK")


class ChildError(Exception):
    """A child ended early, or did not say in time what it should; holds its last words."""


class Child:
    """One running program."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path | None) -> None:
        self.name = name
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def cpu_seconds(self) -> float:
        """Processor time that it used so far, in user space and kernel."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICK

    def said(self, timeout: float) -> dict[str, Any]:
        """The next line of its standard output, which is JSON.

        Errors: ChildError.
        """
        output = self._process.stdout
        assert output is not None, "started with its output piped"
        deadline = time.monotonic() + timeout
        line = b""
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([output], [], [], left)[0]:
                raise ChildError(f"{self.name} said nothing for {timeout:.0f} s{self.last_words()}")
            piece = os.read(output.fileno(), LINE_BYTES_MAX)
            if not piece or len(line) > LINE_BYTES_MAX:
                status = self.wait(STOP_SECONDS)
                raise ChildError(f"{self.name} ended with status {status}{self.last_words()}")
            line += piece
        try:
            said: dict[str, Any] = json.loads(line)
        except ValueError:
            raise ChildError(f"{self.name} said {line[:200]!r}, which is not JSON") from None
        return said

    def wait(self, timeout: float) -> int | None:
        """Its exit status; None if it still runs after `timeout` seconds."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> bool:
        """End it, kindly at first; False if it had to be killed."""
        kindly = True
        if self.is_running():
            self._signal(signal.SIGTERM)
            if self.wait(STOP_SECONDS) is None:
                kindly = False
                self._signal(signal.SIGKILL)
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        return kindly

    def last_words(self) -> str:
        """The end of what it logged, for a sentence to go on with."""
        if self._log is None:
            return ""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return ":\n  " + "\n  ".join(lines[-TAIL_LINES:]) if lines else ""

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def __repr__(self) -> str:
        return f"<Child {self.name} {self.pid}{'' if self.is_running() else ' ended'}>"


class Children:
    """All of them; leaving the block stops those that are left."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, name: str, argv: list[str], *, shows_progress: bool = False) -> Child:
        """Start a program; its log goes to a file unless it shows progress on the terminal.

        It is asked to end when this process dies without having done so.
        """
        argv = ["setpriv", "--pdeathsig", "TERM", *argv]
        log = None if shows_progress else self._directory / f"{name.replace(' ', '-')}.log"
        with contextlib.ExitStack() as stack:
            errors = None if log is None else stack.enter_context(log.open("wb"))
            process = subprocess.Popen(  # noqa: S603  # our own programs
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                process_group=0,
            )
        child = Child(name, process, log)
        self._children.append(child)
        return child

    def check(self) -> None:
        """All that were started still run.

        Errors: ChildError.
        """
        for child in self._children:
            if not child.is_running():
                raise ChildError(f"{child.name} ended by itself{child.last_words()}")

    def stop(self) -> list[str]:
        """Stop those that run, the youngest first; returns the names of those killed."""
        killed: list[str] = []
        while self._children:
            child = self._children.pop()
            if not child.stop():
                killed.append(child.name)
        return killed
