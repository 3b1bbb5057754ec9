"""What a dead server leaves in its file, and what is believed of files that others may make."""

import fcntl
import os
import random
import stat
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.memory_files import SHM, needs_shm
from transport_engine import Endpoint, EngineConfig, TransportError
from transport_engine._native import ffi, lib
from transport_engine.channel import Channel
from transport_engine.inline import open_inline
from transport_engine.starts_file import (
    DEAD_MAX,
    DEAD_OF_ADDRESS_MAX,
    FILE_BYTES,
    Predecessors,
    StartsFile,
    default_folder,
    words_of,
)

AT = Endpoint.parse("127.0.0.1:7000")
FLOW, NUMBER = 5, 0x1234_5678_9ABC_DEF0
CALL = 40

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away, or mounts")
pytestmark = needs_shm


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=SHM) as made:
        yield Path(made)


@pytest.fixture
def channel() -> Iterator[Channel]:
    attachment = open_inline(EngineConfig(driver="loopback"), lib.TE_RING_BYTES_MIN)
    yield attachment.channel
    attachment.channel.close()
    attachment.engine.close()


class Life:
    """A server that has started one call of one flow."""

    def __init__(self, channel: Channel, folder: Path) -> None:
        self.channel = channel
        self.file = StartsFile(channel, AT, folder, beside=False)
        self.path = self.file.path
        channel.begin_starts(FLOW, NUMBER)
        channel.note_started(FLOW, [CALL])

    def end(self) -> None:
        """As the kernel does it to a process that is killed."""
        self.channel.close()
        os.close(self.file._fd)
        self.file._fd = -1


@pytest.fixture
def life(channel: Channel, folder: Path) -> Iterator[Life]:
    made = Life(channel, folder)
    yield made
    made.file.close()


def word(call_ids: list[int]) -> bytes:
    """The last word of who has started these of the first calls of a flow."""
    words = [0] * lib.TE_STARTS_WORDS
    for call_id in call_ids:
        words[call_id // 32] |= lib.TE_STARTED << call_id % 32 * 2
    return struct.pack(f"<{1 + len(words)}Q", max(call_ids), *words)


def asked(folder: Path) -> bytes:
    return Predecessors(AT, folder).word(NUMBER)


def test_a_dead_server_is_believed_and_a_living_one_not_yet(life: Life, folder: Path) -> None:
    predecessors = Predecessors(AT, folder)
    assert predecessors.word(NUMBER) == b""
    life.end()
    assert predecessors.word(NUMBER) == word([CALL])
    assert predecessors.word(NUMBER + 1) == b""
    life.path.unlink()
    assert predecessors.word(NUMBER) == b""


def test_what_is_noted_after_a_look_is_read_after_death(life: Life, folder: Path) -> None:
    predecessors = Predecessors(AT, folder)
    life.channel.note_started(FLOW, [CALL + 1])
    life.end()
    assert predecessors.word(NUMBER) == word([CALL, CALL + 1])


def test_only_files_of_the_address_are_read(life: Life, folder: Path) -> None:
    life.end()
    for other in ("127.0.0.1:700", "127.0.0.1:7001", "127.0.0.2:7000", "[::1]:7000"):
        assert Predecessors(Endpoint.parse(other), folder).word(NUMBER) == b""


def test_who_closes_leaves_nothing(channel: Channel, folder: Path) -> None:
    file = StartsFile(channel, AT, folder, beside=False)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert file.path.stat().st_size == FILE_BYTES
    file.close()
    file.close()
    assert list(folder.iterdir()) == []


def test_a_fork_leaves_the_file_and_holds_the_lock(life: Life, folder: Path) -> None:
    said, say = os.pipe()
    over, end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(end)
        life.file.close()  # the memory is still mapped, and may be stored to
        os.write(say, b"closed")
        os.read(over, 1)
        os._exit(0)
    os.close(over)
    assert os.read(said, 6) == b"closed"
    assert life.path.exists()
    life.end()
    assert asked(folder) == b""  # the child could go on to serve
    os.close(end)
    os.waitpid(pid, 0)
    assert asked(folder) == word([CALL])
    for fd in (said, say):
        os.close(fd)


def test_a_flow_of_which_the_place_was_taken_is_not_known(life: Life, folder: Path) -> None:
    life.channel.begin_starts(FLOW + lib.TE_STARTS_FLOWS, 99)
    life.channel.begin_starts(FLOW + 1, 0)  # of no number
    life.end()
    assert asked(folder) == b""
    predecessors = Predecessors(AT, folder)
    assert predecessors.word(99) == word([0])[:8] + bytes(8 * lib.TE_STARTS_WORDS)
    assert predecessors.word(0) == b""


# -- files that are not what they should be --


@pytest.mark.parametrize("size", [0, 1, FILE_BYTES - 1, FILE_BYTES + 1])
def test_a_file_of_another_size_says_nothing(life: Life, folder: Path, size: int) -> None:
    life.end()
    os.truncate(life.path, size)
    assert asked(folder) == b""


@pytest.mark.parametrize("field", ["magic", "version", "flows", "place_bytes"])
def test_a_file_of_another_kind_says_nothing(life: Life, folder: Path, field: str) -> None:
    life.end()
    data = bytearray(life.path.read_bytes())
    held = ffi.from_buffer("struct te_starts_file *", data)
    setattr(held, field, getattr(held, field) ^ 1)
    life.path.write_bytes(data)
    assert asked(folder) == b""


@pytest.mark.parametrize(
    ("field", "value"), [("flow", 0), ("number", 0), ("newest", (1 << 64) - 1)]
)
def test_a_place_that_was_being_changed_says_nothing(
    life: Life, folder: Path, field: str, value: int
) -> None:
    life.end()
    data = bytearray(life.path.read_bytes())
    place = ffi.from_buffer("struct te_starts_file *", data).places[FLOW]
    setattr(place.starts if field == "newest" else place, field, value)
    life.path.write_bytes(data)
    assert asked(folder) == b""


def test_any_bytes_give_words_or_nothing(life: Life) -> None:
    whole = life.path.read_bytes()
    rng = random.Random(1)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 8, 4096))):
            data[rng.randrange(rng.choice((16, FILE_BYTES)))] = rng.randrange(256)
        words = words_of(bytes(data[: rng.choice((FILE_BYTES, rng.randrange(FILE_BYTES)))]))
        assert len(words) <= lib.TE_STARTS_FLOWS
        assert all(len(each) == 8 + 8 * lib.TE_STARTS_WORDS for each in words.values())
    assert words_of(rng.randbytes(FILE_BYTES)) == {}


def test_what_is_no_file_is_passed_over(life: Life, folder: Path) -> None:
    life.end()
    kept = folder / "kept"
    life.path.rename(kept)
    (folder / f"{AT}.link").symlink_to(kept)
    (folder / f"{AT}.folder").mkdir()
    os.mkfifo(folder / f"{AT}.fifo")
    assert asked(folder) == b""
    kept.rename(folder / f"{AT}.file")
    assert asked(folder) == word([CALL])


# -- places where there can be none --


def refused(channel: Channel, folder: Path) -> str:
    """Why there is no file; notes go on where they went before."""
    with pytest.raises((OSError, TransportError)) as caught:
        StartsFile(channel, AT, folder, beside=False)
    channel.begin_starts(FLOW, NUMBER)
    channel.note_started(FLOW, [CALL])
    assert channel.starts(FLOW, is_own=True) == word([CALL])
    assert asked(folder) == b""
    return str(caught.value)


def test_a_folder_that_others_may_enter_is_refused(channel: Channel, folder: Path) -> None:
    folder.chmod(0o750)
    assert "not this user's alone" in refused(channel, folder)
    assert list(folder.iterdir()) == []


def test_a_folder_by_a_link_is_refused(channel: Channel, folder: Path) -> None:
    (folder / "real").mkdir(0o700)
    (folder / "link").symlink_to("real")
    refused(channel, folder / "link")
    assert list((folder / "real").iterdir()) == []


def test_a_missing_place_and_a_file_in_the_way_are_refused(channel: Channel, folder: Path) -> None:
    refused(channel, folder / "no" / "where")
    (folder / "file").touch(0o600)
    refused(channel, folder / "file")


@as_root
def test_folders_and_files_of_another_user_say_nothing(life: Life, folder: Path) -> None:
    life.end()
    os.chown(life.path, 65534, -1)
    assert asked(folder) == b""
    os.chown(life.path, 0, -1)
    os.chown(folder, 65534, -1)
    assert asked(folder) == b""
    os.chown(folder, 0, -1)
    assert asked(folder) == word([CALL])


@as_root
@pytest.mark.parametrize("options", ["size=16k", "ro", "mode=0700,nr_inodes=1"])
def test_a_place_without_room_is_refused(channel: Channel, folder: Path, options: str) -> None:
    """Now, rather than by SIGBUS at a store later on."""
    mounted = folder / "mounted"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"mode=0700,{options}", "tmpfs", str(mounted)]
    if subprocess.run(mount, check=False, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("this sandbox mounts nothing")
    try:
        refused(channel, mounted)
        assert list(mounted.iterdir()) == []
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


# -- how many there are --


def test_the_newest_of_the_dead_stay(channel: Channel, folder: Path) -> None:
    def leave(name: str, age: int) -> Path:
        path = folder / name
        path.touch(0o600)
        os.utime(path, ns=(age, age))
        return path

    of_one = [leave(f"{AT}.{number:02}", number + 1000) for number in range(20)]
    of_others = [leave(f"127.0.0.1:{number}.x", number) for number in range(100)]
    with of_one[0].open() as living:
        fcntl.flock(living, fcntl.LOCK_EX)
        StartsFile(channel, AT, folder, beside=False).close()
    left = set(folder.iterdir())
    assert left & set(of_one) == {of_one[0], *of_one[-DEAD_OF_ADDRESS_MAX:]}
    assert left & set(of_others) == set(of_others[-(DEAD_MAX - DEAD_OF_ADDRESS_MAX) :])


def test_where_files_are() -> None:
    assert default_folder() == SHM / f"machnet-{os.geteuid()}"
