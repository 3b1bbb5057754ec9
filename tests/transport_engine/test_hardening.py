"""A sidecar's process gives up what it does not need: read from the kernel, and tried."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.transport_engine.test_sidecar import SECONDS_MAX, started
from transport_engine import attach
from transport_engine.config import SidecarConfig
from transport_engine.hardening import harden

CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapAmb")
CONFINED = """
import asyncio, ctypes, mmap, os, socket, threading
from transport_engine.config import SidecarConfig
from transport_engine.hardening import harden
harden(SidecarConfig())
print("confined", flush=True)
libc = ctypes.CDLL(None, use_errno=True)
def denied(act):
    try:
        act()
    except PermissionError:
        return True
    return False
def check(claim, name):
    print(name if claim else f"NOT {name}", flush=True)
"""
TRIES = {
    "no process": "check(denied(os.fork), 'ok')",
    "no raw socket": "check(denied(lambda: socket.socket(socket.AF_PACKET)), 'ok')",
    "no netlink": "check(denied(lambda: socket.socket(socket.AF_NETLINK)), 'ok')",
    "no owner": "check(denied(lambda: os.chown('/tmp', 0, 0)), 'ok')",
    "no mode": "check(denied(lambda: os.chmod('/tmp', 0o777)), 'ok')",
    "no folder": "check(denied(lambda: os.mkdir('/tmp/mrpc-confined')), 'ok')",
    "no rename": "check(denied(lambda: os.rename('/tmp/a', '/tmp/b')), 'ok')",
    "no signal to others": "check(denied(lambda: os.kill(os.getppid(), 0)), 'ok')",
    "threads": "t = threading.Thread(target=lambda: check(True, 'ok')); t.start(); t.join()",
    "sockets": "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', 0));"
    "s.setblocking(False); check(True, 'ok')",
    "loop": "asyncio.run(asyncio.sleep(0.01)); check(True, 'ok')",
    "memory": "m = mmap.mmap(-1, 1 << 20); m.close(); check(True, 'ok')",
    "late import": "import decimal, sqlite3; check(True, 'ok')",
}
FATAL = {
    "exec": "os.execv('/bin/true', ['true'])",
    "ptrace": "libc.ptrace(0, 0, 0, 0)",
    "mount": "libc.mount(0, 0, 0, 0, 0)",
    "unshare": "libc.unshare(0x20000000)",
    "setuid": "os.setuid(0)",
}


def run_confined(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CONFINED + code],
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )


@pytest.mark.parametrize("what", TRIES)
def test_confined_process_can_do_its_work_and_no_more(what: str) -> None:
    done = run_confined(TRIES[what])
    assert (done.returncode, done.stdout, done.stderr) == (0, "confined\nok\n", "")


def test_packet_sockets_are_for_the_threads_of_a_driver() -> None:
    """The filter lets them through with dpdk; the capability is gone from the others."""
    config = "SidecarConfig.model_validate({'engine': {'driver': 'dpdk', 'address': '10.0.0.1',"
    config += " 'prefix_bits': 24, 'security': 'none'}})"
    code = CONFINED.replace("SidecarConfig()", config) + TRIES["no raw socket"]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "confined\nok\n", "")


@pytest.mark.parametrize("what", FATAL)
def test_calls_that_no_engine_makes_kill(what: str) -> None:
    done = run_confined(FATAL[what])
    assert (done.returncode, done.stdout) == (-signal.SIGSYS, "confined\n")


def statuses(pid: int) -> list[dict[str, str]]:
    """What the kernel says of each thread."""
    files = Path(f"/proc/{pid}/task").glob("*/status")
    lines = [file.read_text().splitlines() for file in files]
    return [dict(line.split(":\t", 1) for line in status) for status in lines]


async def test_every_thread_of_a_sidecar_is_confined(tmp_path: Path) -> None:
    with started(tmp_path) as (process, path):
        application = await attach(path)
        threads = statuses(process.pid)
        assert len(threads) >= 2  # the loop's, the engine's
        for said in threads:
            assert {name: int(said[name], 16) for name in CAPABILITIES} == dict.fromkeys(
                CAPABILITIES, 0
            )
            assert (said["NoNewPrivs"], said["Seccomp"]) == ("1", "2")
        await application.close()


def test_opting_out_is_said_in_words_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    config = SidecarConfig.model_validate({"process": {"sandbox": "none"}})
    before = Path("/proc/self/status").read_text().partition("CapInh")[2].partition("Cpus")[0]
    harden(config)
    after = Path("/proc/self/status").read_text().partition("CapInh")[2].partition("Cpus")[0]
    assert after == before
    assert 'sandbox = "none"' in caplog.text
