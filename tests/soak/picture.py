"""What `make soak` saw over time, as SVG: memory of each process, latency of each client."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.plots import FOLDER, STYLE, missing
from tests.soak.watch import Life

NAME: Final = "performance-soak.svg"


def write(lives: Sequence[Life], folder: Path = FOLDER) -> str:
    """Draws it; returns where it is, or why there is none."""
    lacks = missing()
    if lacks is not None:
        return f"no plot: {lacks}"
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("svg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    with matplotlib.rc_context(STYLE):
        figure, (memory, latency) = pyplot.subplots(1, 2, layout="constrained")
        for life in lives:
            minutes = [sample.seconds / 60 for sample in life.samples]
            (line,) = memory.plot(
                minutes, [sample.resident_kib / 1024 for sample in life.samples], label=life.name
            )
            if life.calls:
                for name, dashes in (("p999_us", "-"), ("p50_us", "--")):
                    ys = [getattr(sample, name) or None for sample in life.samples]
                    latency.plot(minutes, ys, dashes, color=line.get_color())
        memory.set_ylabel("resident memory, MiB")
        memory.set_ylim(bottom=0)
        latency.set_ylabel("latency, µs (— p99.9, - - p50)")
        latency.set_yscale("log")
        for ax in (memory, latency):
            ax.set_xlabel("minutes")
        memory.legend(fontsize="small")
        path = folder / NAME
        figure.savefig(path, metadata={"Date": None})
        pyplot.close(figure)
    return str(path)
