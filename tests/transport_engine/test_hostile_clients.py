"""Applications that are bad, dead or without rights, before the control plane of a real engine."""

import asyncio
import contextlib
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e import forged
from tests.transport_engine.sidecars import (
    POLICY,
    RING_BYTES,
    SECONDS_MAX,
    Sidecar,
    descriptors,
    heard,
    records,
    until,
)
from transport_engine import (
    Endpoint,
    ForbiddenError,
    QuotaError,
    control,
    messages,
    session,
)
from transport_engine.config import parse
from transport_engine.policy import Policy
from transport_engine.users import LINES_BURST, LINES_PER_SECOND

PASSER = """
import socket, sys
connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
connection.connect(sys.argv[1])
passing = socket.socket(fileno=int(sys.argv[2]))
socket.send_fds(passing, [b"x"], [connection.fileno()])
sys.stdin.read()
"""


async def test_descriptors_that_an_application_passes_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on kernels that do not refuse them."""
    monkeypatch.setattr(control, "SO_PASSRIGHTS", -1)
    sidecar = Sidecar(tmp_path / "engine.sock")
    connection = sidecar.raw()
    counts: set[int] = set()
    for number in range(20):
        request = messages.pack_request(messages.Stats(id=number))
        socket.send_fds(connection, [request], [0, 1, 2])
        assert (await heard(connection))["id"] == number
        counts.add(descriptors())
    assert len(counts) == 1
    connection.close()
    sidecar.close()


async def test_descriptors_cannot_be_passed_where_the_kernel_knows(sidecar: Sidecar) -> None:
    connection = sidecar.raw()
    request = messages.pack_request(messages.Stats(id=1))
    with contextlib.suppress(PermissionError):
        socket.send_fds(connection, [request], [0])
        assert not _is_at_least("6.16"), "this kernel can refuse descriptors"
    connection.close()


def _is_at_least(release: str) -> bool:
    here = [int(part) for part in os.uname().release.split(".")[:2]]
    return here >= [int(part) for part in release.split(".")]


async def test_socket_that_outlives_its_process_is_closed(sidecar: Sidecar) -> None:
    """A process attaches, hands its socket to another one, and ends: its rights end with it."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    request = messages.pack_request(messages.Attach(id=1, ring_bytes=RING_BYTES))
    child = await asyncio.create_subprocess_exec(
        *[sys.executable, "-c", PASSER, str(sidecar.path), str(far.fileno())],
        pass_fds=[far.fileno()],
        stdin=asyncio.subprocess.PIPE,
    )
    loop = asyncio.get_running_loop()
    near.setblocking(False)
    rang = asyncio.Event()
    loop.add_reader(near, rang.set)
    async with asyncio.timeout(SECONDS_MAX):
        await rang.wait()
    loop.remove_reader(near)
    _, (passed,), _, _ = socket.recv_fds(near, 16, 1)
    connection = socket.socket(fileno=passed)
    connection.setblocking(False)
    connection.send(request)
    assert "result" in await heard(connection)
    assert sidecar.engine.stats()["channels_open"] == 1
    await child.communicate(b"end")
    assert await heard(connection) is None
    assert sidecar.engine.stats()["channels_open"] == 0
    for end in (connection, near, far):
        end.close()


async def test_connection_that_says_nothing_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "UNATTACHED_SECONDS_MAX", 0.05)
    sidecar = Sidecar(tmp_path / "engine.sock")
    silent, attached = sidecar.raw(), await sidecar.application()
    assert "no channel" in (await heard(silent))["error"]["sentence"]
    assert await heard(silent) is None
    assert await attached.listen(0) > 0
    silent.close()
    await attached.close()
    sidecar.close()


async def test_client_that_leaves_while_it_attaches_harms_nobody(sidecar: Sidecar) -> None:
    request = messages.pack_request(messages.Attach(id=1, ring_bytes=RING_BYTES))
    for number in range(50):
        connection = sidecar.raw()
        connection.send(request)
        if number % 2:
            await asyncio.sleep(0)
        connection.close()
    application = await sidecar.application()
    await until(lambda: sidecar.engine.stats()["channels_open"] == 1)
    await application.close()


async def test_log_about_one_user_is_bounded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sidecar = Sidecar(tmp_path / "e.sock", replace(POLICY, messages_per_second_max=1_000_000))
    for _ in range(200):
        connection = sidecar.raw()
        connection.send(b"\xc1")
        assert (await heard(connection))["id"] == 0
        connection.close()
    lines = [record for record in caplog.records if record.name == "transport_engine.control"]
    assert LINES_BURST <= len(lines) <= LINES_BURST + 2 * SECONDS_MAX * LINES_PER_SECOND
    sidecar.close()


async def test_refusals_name_the_line_of_the_policy(tmp_path: Path) -> None:
    said = {
        "name": "guest",
        "uids": [os.geteuid()],
        "listen": ["7400-7409"],
        "reach": [{"network": "127.0.0.0/8", "ports": ["7400-7409"]}],
        "quotas": {"channels": 2, "flows": 2},  # both ends of one
    }
    limits = {"message_bytes_max": 1 << 20, "credit_bytes": 1 << 20}
    policy = Policy.of(parse({"tenants": [said], "engine": {"limits": limits}}, "engine.toml"))
    sidecar = Sidecar(tmp_path / "e.sock", policy)
    server, client = await sidecar.application(), await sidecar.application()
    with pytest.raises(QuotaError, match=r"tenants\[0\]\.quotas\.channels"):
        await sidecar.application()
    with pytest.raises(ForbiddenError, match=r'"guest" .* 80: tenants\[0\]\.listen is 7400-7409'):
        await server.listen(80)
    port = await server.listen(0)
    assert 7400 <= port <= 7409
    with pytest.raises(ForbiddenError, match=r"tenants\[0\]\.reach is 127\.0\.0\.0/8 ports 7400"):
        await client.connect(Endpoint(client.local.address, 80), token=1)
    remote = Endpoint(client.local.address, port)
    await client.connect(remote, token=1)
    await records(server, 1)
    with pytest.raises(QuotaError, match=r"tenants\[0\]\.quotas\.flows allows, 2"):
        await client.connect(remote, token=2)
    await client.close()
    await server.close()
    sidecar.close()


async def test_forged_endpoints_send_nothing(tmp_path: Path) -> None:
    """Connects to whatever is not allowed, and names ports that are another's."""
    figures = await forged.run(tmp_path, requests=2000)
    assert figures.is_good, figures


async def test_application_that_reads_no_answers_is_dropped(tmp_path: Path) -> None:
    sidecar = Sidecar(tmp_path / "e.sock", replace(POLICY, messages_per_second_max=1_000_000))
    connection = sidecar.raw()
    request = messages.pack_request(messages.Stats(id=1))

    def is_dropped() -> bool:
        try:
            connection.send(request)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return False

    await until(is_dropped)
    connection.close()
    sidecar.close()


@pytest.mark.parametrize(
    "data",
    [
        b"\xc1",
        b"x" * (messages.MESSAGE_BYTES_MAX + 1),
        messages.pack({"op": "listen", "id": 1, "port": -1}),
        messages.pack_request(messages.Listen(id=1, port=7000)),
        messages.pack_request(messages.Connect(id=1, remote="127.0.0.1:1", token=0)),
    ],
    ids=["garbage", "too-long", "bad-port", "listen-before-attach", "connect-before-attach"],
)
async def test_bad_message_closes_its_connection_only(sidecar: Sidecar, data: bytes) -> None:
    good, bad = await sidecar.application(), sidecar.raw()
    bad.send(data)
    answer = await heard(bad)
    assert answer["error"]["name"] == "ConfigError"
    assert await heard(bad) is None
    assert await good.listen(0) > 0
    bad.close()
    await good.close()
