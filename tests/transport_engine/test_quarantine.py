"""An application that breaks the rules of its channel: counted, logged, told, and alone in it."""

import fcntl
import mmap
import os
import socket
import sys
from pathlib import Path

import pytest

from tests.transport_engine.sidecars import RING_BYTES, Sidecar, heard, until
from transport_engine import messages
from transport_engine.bucket import Bucket
from transport_engine.session import VIOLATION_TOKENS

VIOLATIONS = {
    "quarantined_position": (b"", 1 << 40, False),
    "quarantined_record": (b"\xff" * 48, 48, False),
    "quarantined_memory": (b"", 48, True),
}
TX_TAIL, TX_RING, SEAL_SEAL = 128, 65536, 1


@pytest.mark.parametrize("counter", VIOLATIONS)
async def test_violation_is_counted_logged_and_ends_its_session_only(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    counter: str,
) -> None:
    owed: list[float] = []
    monkeypatch.setattr(Bucket, "owe", lambda bucket, tokens: owed.append(tokens))
    sidecar = Sidecar(tmp_path / "engine.sock")
    written, tail, is_sealed = VIOLATIONS[counter]
    good = await sidecar.application()
    bad = sidecar.raw()
    bad.send(messages.pack_request(messages.Attach(id=1, ring_bytes=RING_BYTES)))
    await until(lambda: sidecar.engine.stats()["channels_open"] == 2)
    _, (memory, doorbell), _, _ = socket.recv_fds(bad, messages.MESSAGE_BYTES_MAX, 2)
    if is_sealed:
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, SEAL_SEAL)
    with mmap.mmap(memory, 0) as shared:
        shared[TX_RING : TX_RING + len(written)] = written
        shared[TX_TAIL : TX_TAIL + 8] = tail.to_bytes(8, sys.byteorder)
        os.write(doorbell, b"!")
        told = await heard(bad)
    assert told["error"]["name"] == "ChannelCorruptError"
    assert "was cut off: it " in told["error"]["sentence"]
    assert await heard(bad) is None
    stats = sidecar.engine.stats()
    assert {name: stats[name] for name in VIOLATIONS} == {
        name: int(name == counter) for name in VIOLATIONS
    }
    assert (stats["channels_quarantined"], stats["channels_open"]) == (1, 1)
    assert VIOLATION_TOKENS in owed  # so that coming back to do it again takes time
    (record,) = caplog.records
    assert f"process {os.getpid()} of user {os.geteuid()}" in record.message
    assert await good.listen(0) > 0
    for descriptor in (memory, doorbell):
        os.close(descriptor)
    bad.close()
    await good.close()
    sidecar.close()
