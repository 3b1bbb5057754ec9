"""Sidecars for the time of one run, each from a configuration file of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from transport_engine._native import ffi, lib

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0
LOOK_S = 0.02  # between looks for the socket
EAL = "--in-memory --single-file-segments --no-pci --no-telemetry"


@dataclass(frozen=True, slots=True)
class EngineToml:
    """What a sidecar's file says; `vdev` is for dpdk, with {folder} for the run's own."""

    name: str
    address: str
    driver: str = "udp"
    vdev: str = ""
    limits: tuple[str, ...] = ()  # lines of its [engine.limits]
    control: tuple[str, ...] = ()  # and of its [control]

    def text(self, folder: Path) -> str:
        """The file."""
        lines = ["[engine]", f'driver = "{self.driver}"', f'address = "{self.address}"', "port = 0"]
        if self.driver == "dpdk":
            netif = f"{EAL} --vdev {self.vdev.format(folder=folder)}"
            lines += [f'netif = "{netif}"', "prefix_bits = 24", 'security = "none"']
        lines += ["[engine.limits]", *self.limits]
        lines += ["[control]", f'socket = "{folder / self.name}.sock"', *self.control]
        return "\n".join([*lines, ""])


@contextlib.contextmanager
def running(folder: Path, engine: EngineToml) -> Generator[int]:
    """Runs a sidecar; gives its process id once applications can attach.

    It ends when this process dies. Errors: OSError with what it said, if it does not start.
    """
    config = folder / f"{engine.name}.toml"
    config.write_text(engine.text(folder), encoding="utf-8")
    log = folder / f"{engine.name}.log"
    argv = [sys.executable, "-m", "machnet_rpc.cli", "engine", "--config", str(config)]
    argv = ["setpriv", "--pdeathsig", "TERM", *argv]
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )  # an interrupt from the terminal is for the parent, which then ends this one
    try:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not (folder / f"{engine.name}.sock").exists():
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise OSError(f"the {engine.name} sidecar did not start: {log.read_text()}")
            time.sleep(LOOK_S)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def dpdk_missing() -> str | None:
    """What this machine lacks for two DPDK sidecars, or None."""
    if "dpdk" not in ffi.string(lib.te_drivers()).decode().split():
        return "built without DPDK"
    if os.geteuid() != 0:
        return "not root"
    return None
