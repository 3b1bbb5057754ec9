"""A closed-loop load: so many workers, each asking again as soon as it is answered.

Knows nothing of what is asked. Latencies are kept one by one, so percentiles are exact; a meter
takes 8 bytes a call.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeVar, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

T = TypeVar("T")

ERROR_KINDS_MAX = 32
PROGRESS_STEP = 64
SILENCE_SECONDS = 30.0  # a load that gets no answer for so long gives up


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a load measured. Units: latencies in microseconds; CPU is this process's own."""

    calls: int
    seconds: float
    calls_per_second: float
    p50_us: float
    p99_us: float
    p999_us: float
    max_us: float
    cpu_us_per_call: float
    errors: dict[str, int] = field(default_factory=dict[str, int])

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def percentile(ordered: array[int], fraction: float) -> float:
    """The smallest value that `fraction` of all do not exceed, in microseconds.

    Units: `ordered` in nanoseconds, ascending. Source: the nearest-rank definition.
    """
    if not ordered:
        return 0.0
    rank = -int(-len(ordered) * fraction // 1)  # rounds up
    return ordered[max(rank, 1) - 1] / 1000


class Meter:
    """Times calls and counts those that fail with one of the exceptions to be counted."""

    def __init__(
        self,
        counted: tuple[type[Exception], ...] = (),
        clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self.counted: Final = counted
        self._clock = clock
        self._latencies_ns = array("Q")
        self._errors: Counter[str] = Counter()
        self._begun_ns = self._answered_ns = clock()
        self._begun_cpu = time.process_time()

    def __len__(self) -> int:
        return len(self._latencies_ns)

    async def call(self, answer: Awaitable[T]) -> T:
        """Await `answer`, which ought to be a call, and note how long it took.

        An exception that is not counted as an error is an answer too.
        """
        begun = self._clock()
        try:
            result = await answer
        except self.counted:
            raise
        except Exception:
            self._note_answer(begun)
            raise
        self._note_answer(begun)
        return result

    def note_error(self, error: Exception) -> None:
        """Count `error` by its kind."""
        name = type(error).__name__
        if name not in self._errors and len(self._errors) >= ERROR_KINDS_MAX:
            name = "others"
        self._errors[name] += 1

    def silence(self) -> float:
        """Seconds since the last answer, or since the meter was made."""
        return (self._clock() - self._answered_ns) / 1e9

    def result(self) -> LoadResult:
        """Everything since the meter was made."""
        seconds = max((self._clock() - self._begun_ns) / 1e9, 1e-9)
        cpu = time.process_time() - self._begun_cpu
        ordered = array("Q", sorted(self._latencies_ns))
        calls = len(ordered)
        return LoadResult(
            calls=calls,
            seconds=seconds,
            calls_per_second=calls / seconds,
            p50_us=percentile(ordered, 0.5),
            p99_us=percentile(ordered, 0.99),
            p999_us=percentile(ordered, 0.999),
            max_us=percentile(ordered, 1.0),
            cpu_us_per_call=cpu * 1e6 / calls if calls else 0.0,
            errors=dict(self._errors),
        )

    def _note_answer(self, begun_ns: int) -> None:
        self._answered_ns = self._clock()
        self._latencies_ns.append(self._answered_ns - begun_ns)

    def __repr__(self) -> str:
        return f"<Meter {len(self)} calls, {self._errors.total()} errors>"


async def run_load(
    jobs: Iterator[T],
    perform: Callable[[T], Awaitable[None]],
    *,
    window: int,
    meter: Meter,
    progress: Callable[[int], None] | None = None,
) -> LoadResult:
    """Perform all `jobs`, `window` of them at a time.

    Errors: those that the meter counts end their job only, unless nothing was answered for
    SILENCE_SECONDS; any other ends the load.
    """

    async def work() -> None:
        unreported = 0
        for job in jobs:
            try:
                await perform(job)
            except meter.counted as error:
                meter.note_error(error)
                if meter.silence() >= SILENCE_SECONDS:
                    raise
            unreported += 1
            if progress is not None and unreported == PROGRESS_STEP:
                progress(unreported)
                unreported = 0
        if progress is not None:
            progress(unreported)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(window):
                group.create_task(work())
    except ExceptionGroup as failures:
        # The workers fail together, mostly for one reason; the caller wants that reason.
        raise failures.exceptions[0] from None
    return meter.result()


class _Shown:
    """A stream whose reader may be gone, or its disk full, and who writes need not know."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def progress_bar() -> Progress:
    """The bar that all loads show, on the terminal's error stream if there is one."""
    return Progress(
        TextColumn("{task.description:<32}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(file=cast(TextIO, _Shown(sys.stderr))),
        refresh_per_second=4,
    )
