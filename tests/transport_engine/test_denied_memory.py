"""Where the system lets no memory be shared, as the seccomp profile of some containers does."""

import subprocess
import sys
from pathlib import Path

import pytest

# Filters are for good, so each test has a process. 0x7fff0000: allow; 0x00050000 | errno: fail.
DENIED = """
import asyncio, ctypes, pathlib, sys
from transport_engine import Engine, EngineConfig, ForbiddenError
seccomp = ctypes.CDLL("libseccomp.so.2")
seccomp.seccomp_init.restype = ctypes.c_void_p
context = ctypes.c_void_p(seccomp.seccomp_init(0x7FFF0000))
number = seccomp.seccomp_syscall_resolve_name(b"memfd_create")
assert seccomp.seccomp_rule_add(context, 0x00050000 | int(sys.argv[1]), number, 0) == 0
assert seccomp.seccomp_load(context) == 0
"""
INLINE = """
with Engine(EngineConfig()) as engine:
    try:
        engine.attach()
    except ForbiddenError as error:
        print(error)
"""
SIDECAR = """
from tests.transport_engine.sidecars import Sidecar
async def main():
    sidecar = Sidecar(pathlib.Path(sys.argv[2]) / "engine.sock")
    try:
        await sidecar.application()
    except ForbiddenError as error:
        print(error)
    finally:
        sidecar.close()
asyncio.run(main())
"""


@pytest.mark.parametrize("number", [1, 38], ids=["EPERM", "ENOSYS"])
@pytest.mark.parametrize("code", [INLINE, SIDECAR], ids=["inline", "sidecar"])
def test_who_denies_it_is_said(code: str, number: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DENIED + code, str(number), str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "may not call memfd_create" in done.stdout
    assert "seccomp" in done.stdout
    assert "ulimit" not in done.stdout
