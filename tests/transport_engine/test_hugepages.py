"""Hugepages for a while: in a made-up pool, and as root in the kernel's own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from transport_engine.errors import NoRoomError
from transport_engine.hugepages import POOL, free_megabytes, hugepages

root_only = pytest.mark.skipif(os.geteuid() != 0 or not POOL.exists(), reason="needs root")


def made_up_pool(folder: Path, total: int, free: int) -> Path:
    (folder / "nr_hugepages").write_text(f"{total}\n")
    (folder / "free_hugepages").write_text(f"{free}\n")
    (folder / "surplus_hugepages").write_text("0\n")
    return folder


def total(pool: Path) -> int:
    return int((pool / "nr_hugepages").read_text())


def test_only_what_is_missing_is_added_and_exactly_that_taken_back(tmp_path: Path) -> None:
    pool = made_up_pool(tmp_path, 100, 30)
    with hugepages(99, pool) as added:
        assert added == 20  # 99 MB are 50 pages
        assert total(pool) == 120
        (pool / "nr_hugepages").write_text("130")  # somebody else adds ten
    assert total(pool) == 110


def test_enough_that_are_free_are_left_alone(tmp_path: Path) -> None:
    pool = made_up_pool(tmp_path, 100, 100)
    (pool / "nr_hugepages").chmod(0o400)
    with hugepages(200, pool) as added:
        assert added == 0
    assert total(pool) == 100


def test_what_another_counts_on_is_not_free(tmp_path: Path) -> None:
    """It may not have taken its pages yet, and takes back those that it added when it ends."""
    pool = made_up_pool(tmp_path, 100, 50)
    with hugepages(60, pool) as first:
        with hugepages(60, pool) as second, hugepages(2, pool) as third:
            assert (first, second, third) == (0, 10, 1)
        assert total(pool) == 100
        with hugepages(40, pool) as fourth:
            assert fourth == 0
    with hugepages(100, pool) as alone:
        assert alone == 0


def test_who_was_killed_counts_on_nothing(tmp_path: Path) -> None:
    pool = made_up_pool(tmp_path, 100, 50)
    script = (
        "import os, sys, pathlib\n"
        "from transport_engine.hugepages import hugepages\n"
        "with hugepages(100, pathlib.Path(sys.argv[1])):\n"
        "    os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script, pool], check=True, timeout=60)
    with hugepages(100, pool) as added:
        assert added == 0


KILLED = """
import os, pathlib, sys
from transport_engine.hugepages import hugepages
with hugepages(100, pathlib.Path(sys.argv[1])):
    os.kill(os.getpid(), 9)
"""


@root_only
def test_the_next_one_takes_back_what_who_was_killed_had_added(tmp_path: Path) -> None:
    pool = made_up_pool(tmp_path, 100, 0)
    subprocess.run([sys.executable, "-c", KILLED, pool], check=False, timeout=60)
    assert total(pool) == 150
    with hugepages(2, pool) as added:
        assert (added, total(pool)) == (1, 101)
    assert total(pool) == 100


@root_only
def test_a_pool_that_somebody_else_set_since_is_left_alone(tmp_path: Path) -> None:
    pool = made_up_pool(tmp_path, 100, 0)
    subprocess.run([sys.executable, "-c", KILLED, pool], check=False, timeout=60)
    (pool / "nr_hugepages").write_text("200")
    with hugepages(2, pool):
        assert total(pool) == 201
    with hugepages(2, pool):
        assert total(pool) == 201
    assert total(pool) == 200


@root_only
def test_who_gave_back_leaves_nothing_for_the_next_one_to_take(tmp_path: Path) -> None:
    pool = made_up_pool(tmp_path, 100, 0)
    with hugepages(100, pool):
        assert total(pool) == 150
    (pool / "nr_hugepages").write_text("150")  # somebody else's from here on
    with hugepages(2, pool):
        assert total(pool) == 151
    assert total(pool) == 150


@root_only
def test_two_at_once_have_pages_for_both() -> None:
    before = total(POOL)
    with hugepages(free_megabytes() + 8), hugepages(8) as added:
        assert added == 4
    assert total(POOL) == before


def test_taken_back_when_the_body_fails(tmp_path: Path) -> None:
    pool = made_up_pool(tmp_path, 0, 0)
    with pytest.raises(ZeroDivisionError), hugepages(2, pool):
        raise ZeroDivisionError
    assert total(pool) == 0


def test_no_pool_is_said(tmp_path: Path) -> None:
    assert free_megabytes(tmp_path) == 0
    with pytest.raises(NoRoomError, match="as root: sysctl"), hugepages(2, tmp_path):
        pass
    with hugepages(0, tmp_path) as added:
        assert added == 0


@root_only
def test_more_than_the_machine_has_is_refused_and_nothing_kept() -> None:
    before = total(POOL)
    with pytest.raises(NoRoomError, match="at boot"), hugepages(1 << 24):
        pass
    assert total(POOL) == before


@root_only
def test_the_kernels_pool_is_as_before_afterwards() -> None:
    before = total(POOL)
    with hugepages(free_megabytes() + 8) as added:
        assert added == 4
        assert total(POOL) == before + 4
    assert total(POOL) == before


@root_only
def test_pages_that_somebody_held_for_longer_are_not_kept_for_good() -> None:
    """The kernel calls them surplus: they go when they are free, unless the pool is set anew."""
    script = (
        "import mmap, sys\n"
        "huge = 0x40000\n"
        "flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | huge\n"
        "size = int(sys.argv[1]) << 20\n"
        "mapped = mmap.mmap(-1, size, flags=flags)\n"
        "for at in range(0, size, 2 << 20):\n"
        "    mapped[at] = 7\n"
        "print(flush=True)\n"
        "sys.stdin.read()\n"
    )
    before = total(POOL)
    megabytes = free_megabytes() + 8
    argv = [sys.executable, "-c", script, str(megabytes)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        try:
            with hugepages(megabytes):
                assert holder.stdout is not None
                assert holder.stdout.readline() == b"\n"
            with hugepages(8):
                pass
        finally:
            holder.kill()
    assert total(POOL) == before
