"""Applications in C, and an engine under sanitizers, for the tests of this folder.

The sanitized engine is this package with another extension module: a folder of links to the
sources, with the module of that build in the place of the usual one.
"""

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.c_builds import ENGINE, ROOT, SANITIZER_ENVIRONMENT, TENANTS
from tests.e2e.processes import Running

MODULES: Final = {"transport_engine": "_native.abi3.so", "machnet_rpc": "_crossing.abi3.so"}
STOP_SECONDS: Final = 20.0
CONFIG: Final = """
[engine]
driver = "udp"
port = 0
[engine.limits]
channels_max = 64
flows_max = 256
{limits}
[control]
socket = "{socket}"
messages_per_second_max = {requests}
drain_seconds = 1.0
[process]
sandbox = "{sandbox}"
"""


def guest(name: str) -> str:
    """The path of one of the programs of tests/e2e/csrc, up to date."""
    missing = TENANTS.lacks()
    if missing is not None:
        pytest.skip(missing)
    return str(TENANTS.program(f"tests/e2e/{name}"))


def sanitized_package() -> Path:
    """A folder from which `python -m transport_engine` runs an engine under sanitizers.

    `machnet_rpc` is there, too, with its own extension module under sanitizers.
    """
    folder = ENGINE.folder / "packages"
    for name, module in MODULES.items():
        _link_package(folder / name, ROOT / name, ENGINE.program(f"{name}/{module}"))
    return folder


def sanitized_environment() -> dict[str, str]:
    """For a Python that imports what is built with sanitizers."""
    runtime = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True
    )
    # Python's own memory is not freed at its end, and is not ours to judge.
    options = {"ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1"}
    preload = {"LD_PRELOAD": runtime.stdout.strip(), "PYTHONDONTWRITEBYTECODE": "1"}
    return os.environ | SANITIZER_ENVIRONMENT | options | preload


def _link_package(package: Path, sources: Path, module: Path) -> None:
    """Links a package's files, its folders, and another module in the place of the usual one."""
    package.mkdir(parents=True, exist_ok=True)
    names = {path.name: path for path in sources.iterdir() if path.suffix in ("", ".py", ".pyi")}
    for name, target in (names | {module.name: module}).items():
        link = package / name
        if not (link.is_symlink() and link.readlink() == target):
            link.unlink(missing_ok=True)
            link.symlink_to(target)


@dataclass(slots=True)
class Watched:
    """An engine of its own, and what the system says about its process."""

    running: Running
    socket: Path
    folder: Path
    descriptors_idle: int = 0  # while nobody was there

    @property
    def pid(self) -> int:
        return self.running.pid

    def is_alive(self) -> bool:
        return self.running.process.poll() is None

    def said(self) -> str:
        """What it wrote to its log, and what a sanitizer reported."""
        return (self.folder / "engine.log").read_text(errors="replace")

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def mappings(self) -> int:
        """Of channels."""
        return Path(f"/proc/{self.pid}/maps").read_text().count("te-channel")

    def status_kib(self, name: str) -> int:
        """A size from /proc/PID/status: VmRSS, HugetlbPages."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
        raise AssertionError(f"the kernel does not say {name}")


@contextmanager
def watched_engine(
    folder: Path,
    *,
    is_sanitized: bool,
    limits: str = "pool_bytes = 67108864",
    requests: int = 100_000,
) -> Generator[Watched]:
    """An engine with a log; at the end it must have lived, and stop in order."""
    if ENGINE.lacks() is not None and is_sanitized:
        pytest.skip(str(ENGINE.lacks()))
    socket, config = folder / "engine.sock", folder / "engine.toml"
    sandbox = "none" if is_sanitized else "full"  # a report asks another program for names
    config.write_text(
        CONFIG.format(socket=socket, limits=limits, sandbox=sandbox, requests=requests)
    )
    environment = dict(os.environ)
    where = ROOT
    if is_sanitized:
        where = sanitized_package()
        environment = sanitized_environment()
    argv = [sys.executable, "-m", "transport_engine", "--config", str(config)]
    with (folder / "engine.log").open("w") as log:
        process = subprocess.Popen(
            argv, cwd=where, env=environment, stdout=subprocess.PIPE, stderr=log
        )
    running = Running.of(process)
    engine = Watched(running, socket, folder)
    try:
        running.text()
        engine.descriptors_idle = engine.descriptors()
        yield engine
        assert engine.is_alive(), engine.said()
    finally:
        status = running.stop()
    assert status == 0, engine.said()
    assert "ERROR: AddressSanitizer" not in engine.said()
    assert "runtime error:" not in engine.said()
