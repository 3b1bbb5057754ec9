"""Where others are busy on a processor, nobody spins there: whoever sleeps is let in when woken."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from machnet_rpc import MemoryNetwork
from machnet_rpc._aio import pump as pumps
from machnet_rpc._native import crossing
from tests.machnet_rpc.test_pump import Rig

SECONDS_MAX = 60.0
CALLS = 200
BUSY_COUNT = 8  # so that any turn of theirs is long
CPU = min(os.sched_getaffinity(0))

ON_ONE = f"""
import os
os.sched_setaffinity(0, {{{CPU}}})
"""
BUSY = f"""
import time
ends = time.monotonic() + {SECONDS_MAX}
while time.monotonic() < ends:
    pass
"""
SERVER = """
import asyncio, sys
from machnet_rpc import serve
from tests.machnet_rpc.ledger import LedgerBook

async def main():
    async with serve(LedgerBook(), "127.0.0.1:0") as server:
        print(server.address, flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""
CLIENT = f"""
import asyncio, sys, time
from machnet_rpc import connect, sync
from machnet_rpc._native import crossing
from tests.machnet_rpc.ledger import Ledger

async def calls(address):
    async with connect(address) as client:
        ends = time.monotonic() + {SECONDS_MAX / 2}
        while not crossing.is_contended() and time.monotonic() < ends:
            await client.call(Ledger.echo, b"early")
        print("contended" if crossing.is_contended() else "alone", flush=True)
        for number in range({CALLS}):
            assert await client.call(Ledger.echo, b"%d" % number) == b"%d" % number

asyncio.run(calls(sys.argv[1]))
with sync.connect(sys.argv[1]) as client:
    echo = client.method(Ledger.echo)
    for number in range({CALLS}):
        assert echo(b"%d" % number) == b"%d" % number
print("done")
"""


@contextmanager
def running(script: str, *args: str) -> Generator[subprocess.Popen[str]]:
    """On one processor, with all others that do so, until the end of the block."""
    command = [sys.executable, "-c", ON_ONE + textwrap.dedent(script), *args]
    pipe, root = subprocess.PIPE, Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=root) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.skipif(crossing is None, reason="messages cross in Python here, without a spin in C")
def test_calls_among_those_who_are_busy() -> None:
    with running(SERVER) as server, ExitStack() as stack:
        for _ in range(BUSY_COUNT):
            stack.enter_context(running(BUSY))
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        with running(CLIENT, address) as client:
            said, _ = client.communicate(timeout=SECONDS_MAX)
    assert said.split() == ["contended", "done"]
    assert client.returncode == 0


@pytest.mark.skipif(crossing is None, reason="messages cross in Python here, without a spin in C")
def test_nobody_is_busy_at_first() -> None:
    script = """
    from machnet_rpc._native import crossing
    print(crossing.is_contended())
    """
    with running(script) as lone:
        assert lone.communicate(timeout=SECONDS_MAX)[0].strip() == "False"


async def test_a_port_sleeps_at_once(
    network: MemoryNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(network, spin=3600.0)
    await rig.open()
    assert rig.pump.port.is_awake
    monkeypatch.setattr(pumps, "is_contended", lambda: True)
    await rig.asleep()
    monkeypatch.undo()
    await rig.close()
