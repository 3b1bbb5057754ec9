"""Pairs by way of a control plane with a real engine: made, refused, ended, and all given back."""

import asyncio
import ctypes
import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.transport_engine.pairs import MIB, Two, is_over, listener_by_hand, received
from tests.transport_engine.records import packed
from tests.transport_engine.sidecars import RING_BYTES, until
from transport_engine import ChannelCorruptError, Endpoint, EngineGoneError, attach, messages
from transport_engine.control_client import close_all
from transport_engine.errors import NoPairError, PeerSilentError
from transport_engine.pair_end import PairEnd
from transport_engine.pairs import OFFERS_PER_USER_MAX, PAIR_SECONDS_MAX


def memory_maps() -> int:
    return Path("/proc/self/maps").read_text(encoding="utf-8").count("te-channel")


async def test_two_applications_have_a_pair(both: Two) -> None:
    near, far = await both.pair()
    assert near.remote == str(both.at)
    assert far.remote == str(both.server.local)
    assert near.message_bytes_max == far.message_bytes_max == 4 * MIB
    near.channel.send(packed(b"there", flow=0))
    far.channel.send(packed(b"back", flow=0))
    assert received(far) == [b"there"]
    assert received(near) == [b"back"]
    stats = both.sidecar.engine.stats()
    assert (stats["flows_open"], stats["messages_sent"]) == (0, 0)


async def test_closing_delivers_and_gives_everything_back(both: Two) -> None:
    maps = memory_maps()
    near, far = await both.pair()
    near.channel.send(packed(b"last words", flow=0))
    near.close()
    with pytest.raises(EngineGoneError, match="other application closed"):
        far.channel.awake()
    assert received(far) == [b"last words"]
    assert len(both.sidecar.server.pairs) == 1  # the memory is there until both are back
    far.close()
    await until(lambda: len(both.sidecar.server.pairs) == 0)
    assert memory_maps() == maps


async def test_many_pairs_one_after_the_other_leave_nothing(both: Two) -> None:
    for _ in range(40):
        near, far = await both.pair()
        near.close()
        far.close()
    await until(lambda: len(both.sidecar.server.pairs) == 0)
    assert both.client.pairs.__repr__() == "<PairEnds: 0>"


async def test_end_of_a_session_ends_its_pairs(both: Two) -> None:
    _, far = await both.pair()
    (session,) = [
        each
        for each in both.sidecar.server._sessions  # pyright: ignore[reportPrivateUsage]
        if not each.ports
    ]
    keeps_the_bell = os.dup(both.client.channel.fileno())
    session.close()  # as when it is cut off: its process lives on, and may keep its end
    await until(lambda: is_over(far))
    os.close(keeps_the_bell)
    assert len(both.sidecar.server.pairs) == 1
    far.close()
    await until(lambda: len(both.sidecar.server.pairs) == 0)


async def test_engine_that_shuts_down_ends_pairs(both: Two) -> None:
    near, far = await both.pair()
    both.sidecar.server.refuse()
    await until(lambda: is_over(near) and is_over(far))
    assert await both.why_not() == "the engine is shutting down"


# -- why not --


async def test_other_address(both: Two) -> None:
    far = Endpoint.parse("127.0.0.9:7000")
    assert await both.why_not(far) == "127.0.0.9 is not the address of this engine"


async def test_nobody_listens(both: Two) -> None:
    await both.server.unlisten(both.at.port)
    assert await both.why_not() == f"no application of this engine listens on port {both.at.port}"
    assert not await both.has_flow()


async def test_one_application_has_no_pair_with_itself(both: Two) -> None:
    with pytest.raises(NoPairError, match="both ends are one application"):
        await both.server.pair(both.at)


async def test_application_that_takes_none(both: Two) -> None:
    other = await both.sidecar.application()
    at = Endpoint(other.local.address, await other.listen(0))
    assert await both.why_not(at) == "the server's application takes no pairs"
    with pytest.raises(NoPairError, match="the client's application takes no pairs"):
        await other.pair(both.at)
    await other.close()


async def test_listener_that_does_not_answer_in_time(both: Two) -> None:
    async with listener_by_hand(both) as listener:
        began = time.monotonic()
        with pytest.raises(PeerSilentError, match="the server's application did not map"):
            await both.client.pair(listener.at)
        assert time.monotonic() - began < PAIR_SECONDS_MAX + 1
        number, fds = await listener.offered()  # late, it learns that it is over
        close_all(fds)
        listener.say_mapped(number)
        assert (await listener.hears())[0] == {"event": "unpaired", "pair": number}
        assert "it is over" in (await listener.hears())[0]["error"]["sentence"]


async def test_offers_without_an_answer_are_bounded(both: Two) -> None:
    (session,) = [
        each
        for each in both.sidecar.server._sessions  # pyright: ignore[reportPrivateUsage]
        if each.ports
    ]
    session.user.offers = OFFERS_PER_USER_MAX
    assert "have no answer yet" in await both.why_not()
    session.user.offers = 0
    await both.pair()
    assert session.user.offers == 0


@pytest.mark.parametrize("at_most", [0, 1])
async def test_engine_without_descriptors_makes_no_pair_and_leaks_none(
    both: Two, monkeypatch: pytest.MonkeyPatch, at_most: int
) -> None:
    made: list[int] = []
    dup = os.dup

    def few(descriptor: int) -> int:
        if len(made) == at_most:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        made.append(dup(descriptor))
        return made[-1]

    with monkeypatch.context() as patch:
        patch.setattr(os, "dup", few)
        assert "the engine has no descriptors for it" in await both.why_not()
    assert await both.has_flow()
    await both.pair()


def punch(fd: int) -> None:
    flags = 1 | 2  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
    offset, length = ctypes.c_long(65536), ctypes.c_long(4096)
    assert ctypes.CDLL(None, use_errno=True).fallocate(fd, flags, offset, length) == 0


def seal_the_seals(fd: int) -> None:
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL)


@pytest.mark.parametrize(
    ("spoil", "reason"), [(punch, "removed pages"), (seal_the_seals, "kept the seal off")]
)
async def test_spoilt_memory_is_found_before_it_is_used(
    both: Two, spoil: Callable[[int], None], reason: str
) -> None:
    async with listener_by_hand(both) as listener:
        asking = asyncio.create_task(both.client.pair(listener.at))
        number, fds = await listener.offered()
        spoil(fds[0])
        listener.say_mapped(number)
        with pytest.raises(NoPairError, match=reason):
            await asking
        assert await both.has_flow(listener.at)
        close_all(fds)


async def test_size_cannot_be_changed(both: Two) -> None:
    async with listener_by_hand(both) as listener:
        asking = asyncio.create_task(both.client.pair(listener.at))
        number, fds = await listener.offered()
        for size in (4096, 1 << 30):
            with pytest.raises(PermissionError):
                os.ftruncate(fds[0], size)
        listener.say_mapped(number)
        assert isinstance(await asking, PairEnd)
        close_all(fds)


async def test_pairs_of_others_cannot_be_named(both: Two) -> None:
    near, far = await both.pair()
    stranger = await attach(both.sidecar.path, RING_BYTES, direct=True)
    client = stranger.pairs._client  # pyright: ignore[reportPrivateUsage]
    for number in range(4):
        await client.ask(messages.Unpair(id=client.next_id(), pair=number))
    near.channel.send(packed(b"still here", flow=0))
    assert received(far) == [b"still here"]
    assert len(both.sidecar.server.pairs) == 1
    await stranger.close()


# -- death --

HOLDER = """
import asyncio, sys
from transport_engine import Endpoint, attach

async def main():
    client = await attach(sys.argv[1], direct=True)
    end = await client.pair(Endpoint.parse(sys.argv[2]))
    print("paired", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_death_of_a_process_is_seen_at_once(both: Two, how: signal.Signals) -> None:
    command = [sys.executable, "-c", HOLDER, str(both.sidecar.path), str(both.at)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"paired\n"
    await until(lambda: len(both.accepted) == 1)
    far = both.accepted[0]
    process.send_signal(how)
    began = time.monotonic()
    await until(lambda: is_over(far))
    assert time.monotonic() - began < 1
    await process.wait()
    far.close()
    await until(lambda: len(both.sidecar.server.pairs) == 0)


async def test_garbage_from_the_other_side_ends_that_pair_only(both: Two) -> None:
    for value in (0xFF, 0x01, 0x80):
        before = regions()
        near, far = await both.pair()
        scribble(value, regions() - before)
        for end in (near, far):
            with pytest.raises(ChannelCorruptError, match="other application"):
                end.channel.receive()
            end.close()
    near, far = await both.pair()
    near.channel.send(packed(b"honest", flow=0))
    assert received(far) == [b"honest"]


def regions() -> set[int]:
    """Where this process has mapped the headers of channels and pairs."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    parts = [line.split() for line in maps if "te-channel" in line]
    return {int(line[0].split("-")[0], 16) for line in parts if int(line[2], 16) == 0}


def scribble(value: int, mapped: set[int]) -> None:
    """Moves the tails of both rings of a pair, which both ends have mapped, as neither would."""
    assert len(mapped) == 2
    for tail_offset in (128, 384):  # docs/channel.md §1
        ctypes.memset(min(mapped) + tail_offset, value, 8)
