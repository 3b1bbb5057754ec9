"""A plot of percentiles, as SVG: how long calls take, over the share of calls that take longer."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

STYLE: Final = {
    "svg.hashsalt": "machnet-rpc",  # else ids are random
    "svg.fonttype": "none",
    "figure.figsize": (8.0, 4.2),
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
TICKS: Final = {1.0: "0 %", 0.5: "50 %", 0.1: "90 %", 0.01: "99 %", 1e-3: "99.9 %", 1e-4: "99.99 %"}


def draw(path: Path, title: str, shares: Sequence[float], latencies_us: Sequence[float]) -> None:
    """Writes the file. Errors: OSError; ImportError without matplotlib."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("svg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    with matplotlib.rc_context(STYLE):
        figure, axes = pyplot.subplots(layout="constrained")
        axes.step(shares, latencies_us, where="post", color="#0072b2")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(list(TICKS), labels=list(TICKS.values()))
        axes.set_xlim(1.0, min(*shares, 0.01))
        axes.set_xlabel("of calls are faster than")
        axes.set_ylabel("µs")
        axes.set_title(title)
        figure.savefig(path, format="svg", metadata={"Date": None, "Title": title})
        pyplot.close(figure)
