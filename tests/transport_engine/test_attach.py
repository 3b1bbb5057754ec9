"""The way to a sidecar where none is, or where something else sits on its socket."""

import asyncio
import errno
import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.transport_engine.sidecars import Sidecar, no_more_descriptors
from transport_engine import (
    ConfigError,
    EngineGoneError,
    ForbiddenError,
    NoEngineError,
    NoRoomError,
    attach,
    messages,
    read_stats,
)
from transport_engine.attach import connect_control
from transport_engine.policy import Peer
from transport_engine.rendezvous import Rendezvous


async def test_nobody_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(NoEngineError, match=r"No such file.*`mrpc engine` starts one"):
        await attach(tmp_path / "absent.sock")
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    dead.bind(str(tmp_path / "dead.sock"))
    dead.close()
    with pytest.raises(NoEngineError, match="Connection refused"):
        await attach(tmp_path / "dead.sock")


async def test_a_socket_that_others_may_open_is_said_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(_path: Path) -> socket.socket:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(sys.modules["transport_engine.attach"], "_connected", refused)
    words = r"Permission denied.*; who may open .*closed\.sock, its engine's control\.group says"
    with pytest.raises(NoEngineError, match=words):
        await attach(tmp_path / "closed.sock")


async def test_without_descriptors_it_is_not_the_engine_that_lacks(tmp_path: Path) -> None:
    with no_more_descriptors(), pytest.raises(NoRoomError, match=r"no descriptor.*ulimit -n"):
        await attach(tmp_path / "absent.sock")


@pytest.mark.parametrize("ring_bytes", [65536, 200_000, 1 << 40, -1])
async def test_rings_that_cannot_be_are_a_sentence(tmp_path: Path, ring_bytes: int) -> None:
    sidecar = Sidecar(tmp_path / "engine.sock")
    said = f"attach: ring_bytes is {ring_bytes}; allowed is a power of two from 131072 to"
    with pytest.raises(ConfigError, match=said):
        await attach(sidecar.path, ring_bytes)
    sidecar.close()


async def test_values_that_no_request_can_have_are_a_sentence(tmp_path: Path) -> None:
    sidecar = Sidecar(tmp_path / "engine.sock")
    with pytest.raises(ConfigError, match="stats: core is -1; allowed is a whole number from 0"):
        await read_stats(sidecar.path, -1)
    application = await sidecar.application()
    with pytest.raises(ConfigError, match=r"listen: port is 70000; allowed is .* 0 to 65535"):
        await application.listen(70000)
    with pytest.raises(ConfigError, match="unlisten: port is -1"):
        await application.unlisten(-1)
    with pytest.raises(ConfigError, match="connect: token is -1"):
        await application.connect(application.local, -1)
    await application.close()
    sidecar.close()


async def test_programs_that_it_executes_inherit_nothing(tmp_path: Path) -> None:
    """One that outlived it would hold what tells others that it ended."""
    sidecar = Sidecar(tmp_path / "engine.sock")
    before = set(os.listdir("/proc/self/fd"))
    application = await sidecar.application()
    taken = [int(each) for each in set(os.listdir("/proc/self/fd")) - before]
    assert application.channel.fileno() in taken
    assert [each for each in taken if is_inheritable(each)] == []
    await application.close()
    sidecar.close()


def is_inheritable(descriptor: int) -> bool:
    try:
        return os.get_inheritable(descriptor)
    except OSError:
        return False  # that of the folder which was listed


async def test_engine_that_talks_nonsense(tmp_path: Path) -> None:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(str(tmp_path / "odd.sock"))
    listening.listen(8)
    listening.setblocking(False)
    loop = asyncio.get_running_loop()
    for answer in (b"\xc1", messages.pack({}), messages.pack({"id": "x"}), b"\x05"):
        attaching = asyncio.ensure_future(attach(tmp_path / "odd.sock"))
        connection, _ = await loop.sock_accept(listening)
        connection.send(answer)
        connection.close()
        with pytest.raises(EngineGoneError, match=r"nonsense|closed the connection"):
            await attaching
    listening.close()


async def test_answer_without_descriptors(tmp_path: Path) -> None:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(str(tmp_path / "odd.sock"))
    listening.listen(8)
    listening.setblocking(False)
    attaching = asyncio.ensure_future(attach(tmp_path / "odd.sock"))
    connection, _ = await asyncio.get_running_loop().sock_accept(listening)
    connection.send(messages.pack({"id": 1, "result": {"local": "127.0.0.1:1", "driver": "udp"}}))
    with pytest.raises(EngineGoneError, match=r"lacks the channel's descriptors.*ulimit"):
        await attaching
    connection.close()
    listening.close()


async def test_socket_of_another_user_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MRPC_SOCKET", str(tmp_path / "engine.sock"))
    monkeypatch.setattr(Peer, "of", lambda _: Peer(pid=7, uid=54321, gid=1))
    with (
        Rendezvous(tmp_path / "engine.sock"),
        pytest.raises(ForbiddenError, match=r"process 7 of user 54321, .* by via= or --engine"),
    ):
        await attach()


async def test_owner_of_the_system_folder_is_trusted_there_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attaching = sys.modules["transport_engine.attach"]  # the package has a function of that name
    owner = 54321
    monkeypatch.setattr(Peer, "of", lambda _: Peer(pid=7, uid=owner, gid=1))
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    monkeypatch.setattr(attaching, "default_socket_path", lambda: tmp_path / "engine.sock")
    status = SimpleNamespace(st_uid=owner)
    monkeypatch.setattr(attaching, "_folder_status", lambda _: status)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(tmp_path / "engine.sock"))
        listening.listen(8)
        with pytest.raises(ForbiddenError, match="neither you nor root"):
            await connect_control(None)
        monkeypatch.setattr(attaching, "system_socket_path", lambda: tmp_path / "engine.sock")
        (await connect_control(None)).close()
        status.st_uid = owner + 2
        with pytest.raises(ForbiddenError, match="neither you nor root"):
            await connect_control(None)
