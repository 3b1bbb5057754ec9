"""The trace player's reader on made-up lines and on the real trace."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest
import zstandard

from examples.data import OLTP_TRACE, data_directory, find
from examples.kvstore.trace import TraceError, accesses, page_key, page_value

if TYPE_CHECKING:
    from pathlib import Path


def compressed(path: Path, text: str) -> Path:
    path.write_bytes(zstandard.compress(text.encode("latin-1")))
    return path


def test_a_line_is_as_many_accesses_as_pages(tmp_path: Path) -> None:
    path = compressed(tmp_path / "t.lis.zst", "100 3 0 0\n7 1 0 1\n")
    assert list(accesses(path)) == [100, 101, 102, 7]


@pytest.mark.parametrize(
    "line", ["1 2 3", "x 1 0 0", "-1 1 0 0", "5 0 0 0", "5 99999999 0 0", "ü 1 0 0"]
)
def test_bad_lines_are_named(tmp_path: Path, line: str) -> None:
    path = compressed(tmp_path / "t.lis.zst", f"1 1 0 0\n{line}\n")
    with pytest.raises(TraceError, match=r"t\.lis\.zst, line 2: "):
        list(accesses(path))


@pytest.mark.parametrize("kept", [0, 5, 40])
def test_a_file_that_ends_early(tmp_path: Path, kept: int) -> None:
    path = compressed(tmp_path / "t.lis.zst", "".join(f"{i} 1 0 {i}\n" for i in range(1000)))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(TraceError, match="ends early"):
        list(accesses(path))


@pytest.mark.parametrize("first_bytes", [3, 8, 4000])
def test_frames_follow_each_other(tmp_path: Path, first_bytes: int) -> None:
    text = "".join(f"{i} 1 0 {i}\n" for i in range(1000))
    parts = text[:first_bytes], text[first_bytes:], ""
    path = tmp_path / "t.lis.zst"
    path.write_bytes(b"".join(zstandard.compress(part.encode()) for part in parts))
    assert list(accesses(path)) == list(range(1000))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TraceError, match="ends early"):
        list(accesses(path))


@pytest.mark.parametrize("byte", [b"7", b"\n"], ids=["a line", "lines"])
def test_a_small_file_does_not_become_large_in_memory(tmp_path: Path, byte: bytes) -> None:
    path = tmp_path / "t.lis.zst"
    path.write_bytes(zstandard.compress(byte * (64 << 20)))
    tracemalloc.start()
    try:
        with pytest.raises(TraceError, match=r"t\.lis\.zst"):
            list(accesses(path))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 32 << 20


def test_a_file_that_is_not_compressed(tmp_path: Path) -> None:
    path = tmp_path / "t.lis.zst"
    path.write_bytes(b"1 1 0 0\n")
    with pytest.raises(TraceError, match=r"t\.lis\.zst is not what zstd writes: "):
        list(accesses(path))


def test_values_tell_pages_apart() -> None:
    assert page_value(1, 256) != page_value(2, 256)
    assert len(page_value(7, 250)) == 250
    assert sorted([page_key(256), page_key(255)]) == [page_key(255), page_key(256)]


def test_the_real_trace_is_whole() -> None:
    path = find(OLTP_TRACE)
    if path is None:
        pytest.skip(f"no OLTP trace: {data_directory() / OLTP_TRACE} is absent")
    pages = list(accesses(path))
    assert len(pages) == 914_145
    assert len(set(pages)) == 186_880
