"""The OLTP trace of the ARC paper as accesses to pages.

Each line: first page, number of pages, 0, request number.

Source: N. Megiddo and D. Modha, "ARC: A Self-Tuning, Low Overhead Replacement Cache", FAST 2003,
§V.A (OLTP: an hour of page references to a CODASYL database).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import zstandard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGES_MAX = 1 << 20  # of one line
READ_BYTES = 64  # at a time: what it decompresses to may be 30,000 times as much
LINE_BYTES_MAX = 256


class TraceError(ValueError):
    """A line that is not an access, and which; or a file that zstd did not write, or not whole."""


def page_key(page: int) -> bytes:
    """Keys sort as the pages do."""
    return page.to_bytes(8, "big")


def page_value(page: int, size_bytes: int) -> bytes:
    """What the page holds: different for every page, and known without asking."""
    return (page_key(page) * (size_bytes // 8 + 1))[:size_bytes]


def accesses(path: Path) -> Iterator[int]:
    """Every page of every request, in order.

    Errors: TraceError, OSError.
    """
    for number, line in enumerate(_lines(path), 1):
        try:
            first, pages = parse(line)
        except ValueError as error:
            raise TraceError(f"{path}, line {number}: {error}") from error
        yield from range(first, first + pages)


def parse(line: str) -> tuple[int, int]:
    """First page and number of pages.

    Errors: ValueError.
    """
    columns = line.split()
    if len(columns) != 4:
        raise ValueError(f"4 columns expected, found {len(columns)}")
    first, pages = int(columns[0]), int(columns[1])
    if not (0 <= first < 1 << 63 and 0 < pages <= PAGES_MAX):
        raise ValueError(f"pages {first} + {pages} are out of range")
    return first, pages


def _lines(path: Path) -> Iterator[str]:
    """The decompressed lines."""
    rest = b""
    for part in _decompressed(path):
        *lines, rest = (rest + part).split(b"\n")
        yield from (line.decode("ascii", "replace") for line in lines)
        if len(rest) > LINE_BYTES_MAX:
            raise TraceError(f"{path}: a line is longer than {LINE_BYTES_MAX} bytes")
    if rest:
        yield rest.decode("ascii", "replace")


def _decompressed(path: Path) -> Iterator[bytes]:
    """All frames of the file; one that ends early is an error, as zstd's reader has it not."""
    frame = zstandard.ZstdDecompressor().decompressobj()
    with path.open("rb") as raw:
        part = raw.read(READ_BYTES)
        while part:
            if frame.eof:
                frame = zstandard.ZstdDecompressor().decompressobj()
            try:
                plain = frame.decompress(part)
            except zstandard.ZstdError as error:
                raise TraceError(f"{path} is not what zstd writes: {error}") from error
            yield plain
            part = frame.unused_data or raw.read(READ_BYTES)
    if not frame.eof:
        raise TraceError(f"{path} ends early: what is compressed in it is not complete")
