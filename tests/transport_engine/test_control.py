"""The control plane with a real engine in a thread, and applications good, bad and dead."""

import asyncio
import contextlib
import os
import re
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.transport_engine.records import field, packed
from tests.transport_engine.sidecars import (
    CHANNELS_MAX,
    POLICY,
    RING_BYTES,
    Sidecar,
    descriptors,
    heard,
    no_more_descriptors,
    records,
    until,
)
from transport_engine import (
    Endpoint,
    EngineGoneError,
    ForbiddenError,
    NoRoomError,
    PortInUseError,
    SidecarAttachment,
    attach,
    control,
    control_client,
    messages,
    read_stats,
    session,
)
from transport_engine._native import lib
from transport_engine.bucket import Bucket
from transport_engine.control import PORTS_PER_APPLICATION_MAX
from transport_engine.policy import Peer


async def test_an_engine_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_client, "ANSWER_SECONDS_MAX", 0.01)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with theirs:
        client = control_client.ControlClient(ours, Path("engine.sock"))
        said = "the engine at engine.sock does not answer: it said nothing in 0.01 s$"
        with pytest.raises(EngineGoneError, match=said):
            await client.ask(messages.Stats(id=client.next_id()))
        client.close()


async def test_an_answer_that_came_while_this_process_stood_still_is_taken() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    held = descriptors()
    with theirs:
        client = control_client.ControlClient(ours, Path("engine.sock"))
        asking = asyncio.ensure_future(client.ask(messages.Stats(id=1), timeout=0.01))
        await asyncio.sleep(0)  # it is sent
        socket.send_fds(theirs, [messages.pack({"id": 1, "result": {"stats": 7}})], [0])
        time.sleep(0.02)  # noqa: ASYNC251 (as if the process stood still)
        result, passed = await asking
        assert result == {"stats": 7}
        assert len(passed) == descriptors() - held == 1
        control_client.close_all(passed)
        client.close()


async def test_a_request_that_came_while_the_engine_stood_still_is_answered(
    sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "UNATTACHED_SECONDS_MAX", 0.5)
    with sidecar.raw() as connection:
        await until(lambda: bool(sidecar.server._sessions))
        connection.send(messages.pack_request(messages.Stats(id=1)))
        time.sleep(0.6)  # noqa: ASYNC251 (as if the process stood still)
        answer = await heard(connection)
    assert "result" in answer, answer


async def test_two_applications_talk(sidecar: Sidecar) -> None:
    server, client = await sidecar.application(), await sidecar.application()
    assert server.driver == "udp"
    port = await server.listen(0)
    await client.connect(Endpoint(client.local.address, port), token=1 << 63)
    ((opened, _),) = await records(client, 1)
    ((accepted, _),) = await records(server, 1)
    assert field(opened, "kind") == lib.TE_FLOW_OPENED
    assert field(opened, "call_id") == 1 << 63
    assert field(accepted, "kind") == lib.TE_FLOW_ACCEPTED
    client.channel.send(packed(b"hello", flow=field(opened, "flow")))
    client.channel.ring()
    ((head, payload),) = await records(server, 1)
    assert (payload, field(head, "flow")) == (b"hello", field(accepted, "flow"))
    await client.close()
    ((closed, _),) = await records(server, 1)
    assert field(closed, "kind") == lib.TE_FLOW_CLOSED
    assert field(closed, "status") == lib.TE_R_PEER_CLOSED
    await server.close()


async def test_connect_that_nobody_answers_ends_in_a_record(sidecar: Sidecar) -> None:
    client = await sidecar.application()
    port = await client.listen(0)
    await client.unlisten(port)
    await client.connect(Endpoint(client.local.address, port), token=3)
    ((head, _),) = await records(client, 1)
    assert field(head, "kind") == lib.TE_FLOW_CLOSED
    assert field(head, "call_id") == 3
    await client.close()


async def test_port_has_one_listener_and_is_free_after_its_death(sidecar: Sidecar) -> None:
    first, second = await sidecar.application(), await sidecar.application()
    port = await first.listen(0)
    with pytest.raises(PortInUseError, match=f"port {port} of 127.0.0.1"):
        await second.listen(port)
    await first.close()
    await until(lambda: sidecar.engine.stats()["channels_open"] == 1)
    assert await second.listen(port) == port
    await second.close()


async def test_death_frees_everything(sidecar: Sidecar) -> None:
    for _ in range(3 * CHANNELS_MAX):
        application = await sidecar.application()
        await application.listen(0)
        await application.close()
        await until(lambda: sidecar.engine.stats()["channels_open"] == 0)
    stats = sidecar.engine.stats()
    assert (stats["channels_open"], stats["listeners_open"], stats["flows_open"]) == (0, 0, 0)


async def test_a_killed_process_may_close_its_socket_first(
    sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had started is final only with the doorbell; who keeps that is not waited for."""
    monkeypatch.setattr(session, "LEAVING_SECONDS_MAX", 1.0)
    dying, keeping = await sidecar.application(), await sidecar.application()
    since = time.monotonic()
    dying._client.close()
    keeping._client.close()
    await asyncio.sleep(0.05)
    assert sidecar.engine.stats()["channels_open"] == 2
    dying.channel.close()
    await until(lambda: sidecar.engine.stats()["channels_open"] == 0)
    assert time.monotonic() - since >= 1.0
    keeping.channel.close()


async def test_who_leaves_an_engine_that_takes_no_commands_is_forgotten(
    sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    application = await sidecar.application()

    def refuse(channel: int) -> bool:
        raise NoRoomError(f"channel {channel} cannot be asked about")

    monkeypatch.setattr(sidecar.engine, "has_left", refuse)
    application._client.close()
    await until(lambda: sidecar.engine.stats()["channels_open"] == 0)
    application.channel.close()


async def test_full_table_is_a_sentence(sidecar: Sidecar) -> None:
    applications = [await sidecar.application() for _ in range(CHANNELS_MAX)]
    with pytest.raises(NoRoomError, match="raise its limits"):
        await sidecar.application()
    await applications[0].close()
    await until(lambda: sidecar.engine.stats()["channels_open"] == CHANNELS_MAX - 1)
    applications[0] = await sidecar.application()
    for application in applications:
        await application.close()


async def test_detach_and_attach_again_on_one_connection(sidecar: Sidecar) -> None:
    connection = sidecar.raw()
    for number in range(1, 4):
        attaching = messages.Attach(id=number, ring_bytes=RING_BYTES)
        connection.send(messages.pack_request(attaching))
        assert (await heard(connection))["id"] == number
        assert sidecar.engine.stats()["channels_open"] == 1
        connection.send(messages.pack_request(messages.Detach(id=number)))
        assert (await heard(connection))["result"] == {}
        assert sidecar.engine.stats()["channels_open"] == 0
    connection.close()


async def test_second_attach_is_refused(sidecar: Sidecar) -> None:
    connection = sidecar.raw()
    attaching = messages.pack_request(messages.Attach(id=1, ring_bytes=RING_BYTES))
    connection.send(attaching)
    assert "result" in await heard(connection)
    connection.send(attaching)
    assert "attached already" in (await heard(connection))["error"]["sentence"]
    assert await heard(connection) is None
    connection.close()
    await until(lambda: sidecar.engine.stats()["channels_open"] == 0)


async def test_other_version_is_told_so(sidecar: Sidecar) -> None:
    connection = sidecar.raw()
    connection.send(messages.pack_request(messages.Attach(id=1, version=2, ring_bytes=RING_BYTES)))
    assert "install the same release" in (await heard(connection))["error"]["sentence"]
    connection.close()


async def test_rings_larger_than_allowed(tmp_path: Path) -> None:
    sidecar = Sidecar(tmp_path / "e.sock", replace(POLICY, ring_bytes_max=RING_BYTES))
    with pytest.raises(ForbiddenError, match=r"control\.ring_bytes_max"):
        await attach(sidecar.path, 2 * RING_BYTES)
    sidecar.close()


async def test_user_who_is_not_allowed(tmp_path: Path) -> None:
    sidecar = Sidecar(tmp_path / "e.sock", replace(POLICY, owner_uids=frozenset((12345,))))
    with pytest.raises(ForbiddenError, match=f"user {os.geteuid()} may not use this engine"):
        await sidecar.application()
    sidecar.close()


async def test_connections_of_one_user_are_bounded(tmp_path: Path) -> None:
    sidecar = Sidecar(tmp_path / "e.sock", replace(POLICY, connections_per_uid_max=2))
    connections = [sidecar.raw(), sidecar.raw()]
    with pytest.raises(NoRoomError, match="connections_per_uid_max"):
        await sidecar.application()
    connections.pop().close()
    await asyncio.sleep(0.01)
    await (await sidecar.application()).close()
    connections.pop().close()
    sidecar.close()


async def test_who_leaves_unread_makes_room_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user who asked too often is left unread; what it closes meanwhile counts no more."""
    monkeypatch.setattr(Bucket, "take", lambda bucket, now: 3600.0)
    sidecar = Sidecar(tmp_path / "e.sock", replace(POLICY, connections_per_uid_max=2))
    request = messages.pack_request(messages.Attach(id=1, ring_bytes=RING_BYTES))
    for _ in range(4):
        leaving = [sidecar.raw(), sidecar.raw()]
        for connection in leaving:
            connection.send(request)
        await until(lambda: len(sidecar.server._sessions) == 2)
        for connection in leaving:
            connection.close()
        await until(lambda: not sidecar.server._sessions)
    assert sidecar.engine.stats()["channels_open"] == 0
    sidecar.close()


async def test_without_descriptors_applications_wait_and_nothing_spins(
    sidecar: Sidecar, caplog: pytest.LogCaptureFixture
) -> None:
    connection = sidecar.raw()
    connection.send(messages.pack_request(messages.Stats(id=1)))
    turns = 0
    with no_more_descriptors():
        deadline = time.monotonic() + 3 * control.REST_SECONDS
        while time.monotonic() < deadline:
            turns += 1
            await asyncio.sleep(0)
    said = [record for record in caplog.records if "can be accepted" in record.message]
    assert turns > len(said) == 1
    assert (await heard(connection))["id"] == 1
    connection.close()


async def test_an_engine_without_descriptors_says_so(
    sidecar: Sidecar, caplog: pytest.LogCaptureFixture
) -> None:
    connection = sidecar.raw()
    connection.send(messages.pack_request(messages.Stats(id=1)))
    await heard(connection)
    with no_more_descriptors():
        connection.send(messages.pack_request(messages.Attach(id=2, ring_bytes=RING_BYTES)))
        refusal = messages.error_from(await heard(connection))
    assert type(refusal) is NoRoomError
    words = "the engine has no descriptors left for a channel.*`ulimit -n`"
    assert re.search(words, str(refusal))
    warned = [each.message for each in caplog.records if each.levelname == "WARNING"]
    assert any(re.search(f"is refused a channel: {words}", each) for each in warned)
    connection.send(messages.pack_request(messages.Attach(id=3, ring_bytes=RING_BYTES)))
    assert "result" in await heard(connection)
    connection.close()


async def test_ports_of_one_application_are_bounded(sidecar: Sidecar) -> None:
    application = await sidecar.application()
    ports = [await application.listen(0) for _ in range(PORTS_PER_APPLICATION_MAX)]
    with pytest.raises(NoRoomError, match="ports at most"):
        await application.listen(0)
    await application.unlisten(ports[0])
    assert await application.listen(ports[0]) == ports[0]
    await application.close()


async def test_too_many_messages_wait_and_do_not_fail(tmp_path: Path) -> None:
    sidecar = Sidecar(tmp_path / "e.sock", replace(POLICY, messages_per_second_max=50))
    application = await sidecar.application()
    started = time.monotonic()
    for _ in range(60):
        await application.stats()
    assert time.monotonic() - started > 0.1
    await application.close()
    sidecar.close()


async def test_who_breaks_the_rules_waits_before_it_may_ask_again(tmp_path: Path) -> None:
    sidecar = Sidecar(tmp_path / "e.sock", replace(POLICY, messages_per_second_max=20))
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as hostile:
        hostile.connect(str(sidecar.path))
        hostile.send(b"\xc1 is no request")
        await asyncio.to_thread(hostile.recv, 4096)
    started = time.monotonic()
    await (await sidecar.application()).close()
    assert time.monotonic() - started > 0.5
    sidecar.close()


async def test_large_rings_cost_as_much_as_several_messages(
    sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    owed: list[float] = []
    monkeypatch.setattr(Bucket, "owe", lambda bucket, tokens: owed.append(tokens))
    await (await attach(sidecar.path, 16 << 20)).close()
    assert max(owed) == 64


def test_bucket() -> None:
    bucket = Bucket(10, now=0.0, burst=10)
    assert [bucket.take(0.0) for _ in range(10)] == [0.0] * 10
    assert bucket.take(0.0) == pytest.approx(0.1)
    assert bucket.take(0.05) == pytest.approx(0.05)
    assert bucket.take(0.1) == 0.0
    assert [bucket.take(100.0) for _ in range(10)] == [0.0] * 10
    assert bucket.take(100.0) > 0.0


async def test_stats_without_a_channel(sidecar: Sidecar) -> None:
    stats = await read_stats(sidecar.path)
    assert stats["channels_open"] == 0
    assert stats["now_ns"] > 0


async def test_refused_engine_serves_those_who_are_there(sidecar: Sidecar) -> None:
    application = await sidecar.application()
    sidecar.server.refuse()
    assert await application.listen(0) > 0
    await application.close()


async def test_engine_that_stops_is_noticed(sidecar: Sidecar) -> None:
    application = await sidecar.application()
    sidecar.server.close()
    with pytest.raises(EngineGoneError):
        await application.listen(0)
    await until(lambda: _is_gone(application))
    await application.close()


def _is_gone(application: SidecarAttachment) -> bool:
    try:
        application.channel.awake()
    except EngineGoneError:
        return True
    return False


def test_peer_is_who_the_kernel_says() -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    assert Peer.of(near) == Peer(os.getpid(), os.geteuid(), os.getegid())
    near.close()
    far.close()
