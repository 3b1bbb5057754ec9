"""What `mrpc msggen` measures: one row for a window, and how a drive is looked at while it runs."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from transport_engine.errors import TransportError
from transport_engine.msggen import Drive, Generator

SLICE_SECONDS: Final = 0.25  # between looks at progress, and for Ctrl-C
WARM_UP: Final = 0.2  # of the time that is measured
SILENCE_SECONDS: Final = 5.0


class NoAnswerError(TransportError):
    """A server stopped answering."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one window reached. Latencies are round trips."""

    window: int
    rpcs: int
    rpcs_per_second: float
    p50_us: float
    p99_us: float
    p999_us: float


def slices(duration: float, client: Generator, drive: Drive) -> Iterator[int]:
    """Drives for so many seconds; gives the replies so far, from time to time.

    Errors: NoAnswerError, and those of `Drive.run`.
    """
    began = heard = time.monotonic()
    replies = client.counts().replies
    while (left := began + duration - time.monotonic()) > 0:
        drive.run(min(left, SLICE_SECONDS))
        counts = client.counts()
        if counts.replies != replies:
            replies, heard = counts.replies, time.monotonic()
        if time.monotonic() - heard > SILENCE_SECONDS:
            raise NoAnswerError(f"the server has not answered for {SILENCE_SECONDS:g} s")
        yield replies


def row_of(window: int, client: Generator) -> Row:
    """What a client has counted since it last forgot."""
    counts = client.counts()
    return Row(
        window=window,
        rpcs=counts.replies,
        rpcs_per_second=round(counts.replies * 1e9 / counts.elapsed_ns, 1),
        p50_us=client.latency_ns(50) / 1e3,
        p99_us=client.latency_ns(99) / 1e3,
        p999_us=client.latency_ns(99.9) / 1e3,
    )


def settle(drive: Drive) -> None:
    """Waits until all is answered.

    Errors: NoAnswerError, and those of `Drive.settle`.
    """
    if not drive.settle(SILENCE_SECONDS):
        raise NoAnswerError(f"some messages were not answered in {SILENCE_SECONDS:g} s")


def together(rows: Sequence[Row]) -> Row:
    """Clients that ran at the same time: their rates in sum, and the latencies of the slowest."""
    return Row(
        window=rows[0].window,
        rpcs=sum(row.rpcs for row in rows),
        rpcs_per_second=round(sum(row.rpcs_per_second for row in rows), 1),
        p50_us=max(row.p50_us for row in rows),
        p99_us=max(row.p99_us for row in rows),
        p999_us=max(row.p999_us for row in rows),
    )
