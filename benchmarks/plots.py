"""Results as pictures: the latency of all calls, and rates over window, size and loss.

SVG that is the same for the same figures, so that a change of figures is all that a diff shows.
"""

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.distribution import SHARES_BEYOND, curve_key, medians
from benchmarks.load import Load
from benchmarks.rounds import Results
from benchmarks.rows import (
    DIRECT,
    GRPC,
    ICE,
    LARGE_SIZES,
    LOST,
    RING,
    SIZES,
    SWEPT,
    UVLOOP,
    WINDOWS,
    WIRED,
    lossy_name,
)
from machnet_rpc.cli import percentile_plot

FOLDER = Path(__file__).resolve().parent.parent / "docs"
STYLE = percentile_plot.STYLE | {"legend.frameon": False}
# Okabe and Ito's colours, which those who see fewer colours can tell apart; one for each contender.
COLOURS = {
    DIRECT: "#0072b2",
    "inline+udp": "#009e73",
    "inline+af_packet": "#56b4e9",
    UVLOOP: "#d55e00",
    GRPC: "#cc79a7",
    ICE: "#e69f00",
    RING: "#999999",
}
ALTS = {
    "latency": "Latency of calls from the median to the slowest, one in flight and at half of the"
    " highest rate, for this project and its rivals",
    "windows": "Calls per second over the number of calls in flight, from 1 to 1,024",
    "sizes": "Bytes per second over the size of messages, from 64 bytes to 8 MiB",
    "loss": "99th and 99.9th percentile of latency over the share of packets lost",
}


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of one contender."""

    label: str
    xs: Sequence[float]
    ys: Sequence[float]
    dashes: str = "-"


def missing() -> str | None:
    """Why there are no plots, or None."""
    return None if importlib.util.find_spec("matplotlib") else "matplotlib is not installed"


def write(results: Results, folder: Path = FOLDER) -> list[Path]:
    """All plots for which there are figures; returns them."""
    middle = {
        name: medians(said.figures for said in rounds if said is not None)
        for name, rounds in results.by_measure.items()
    }
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("svg")
    with matplotlib.rc_context(STYLE):
        drawn = [
            _latency(middle, folder),
            _windows(middle, folder),
            _sizes(middle, folder),
            _loss(middle, folder),
        ]
    return [path for path in drawn if path is not None]


def beyond(figures: Mapping[str, float], load: Load) -> tuple[list[float], list[float]]:
    """Shares of calls, and the latency beyond which they lie, in µs."""
    points = [
        (share, figures[load.key + curve_key(index)])
        for index, share in enumerate(SHARES_BEYOND)
        if load.key + curve_key(index) in figures
    ]
    return [share for share, _ in points], [latency for _, latency in points]


def over(
    figures: Mapping[str, float], loads: Mapping[float, Load], figure: str
) -> tuple[list[float], list[float]]:
    """A figure over what the loads stand for."""
    points = [
        (x, figures[load.key + figure]) for x, load in loads.items() if load.key + figure in figures
    ]
    return [x for x, _ in points], [y for _, y in points]


def _latency(middle: Mapping[str, Mapping[str, float]], folder: Path) -> Path | None:
    panels = {
        "1 in flight": (Load(1), (RING, DIRECT, ICE, "inline+udp", UVLOOP, GRPC)),
        "half of the highest rate, open loop": (Load(32, open_share=0.5), SWEPT),
    }
    drawn = {
        title: [
            Curve(name, *beyond(middle[name], load)) for name in names if beyond_any(middle, name)
        ]
        for title, (load, names) in panels.items()
    }
    if not any(drawn.values()):
        return None
    figure, axes = _figure(len(panels))
    for ax, (title, curves) in zip(axes, drawn.items(), strict=True):
        _draw(ax, curves)
        ax.set_title(title, fontsize="medium")
        ax.invert_xaxis()
        ticks = {0.5: "p50", 0.1: "p90", 0.01: "p99", 0.001: "p99.9", 0.0001: "p99.99"}
        ax.set_xticks(list(ticks), labels=list(ticks.values()))
        ax.minorticks_off()
        ax.set_xlabel("share of calls")
    axes[0].set_ylabel("latency, µs")
    return _save(figure, folder, "latency")


def beyond_any(middle: Mapping[str, Mapping[str, float]], name: str) -> bool:
    """Whether there are figures of it at all."""
    return bool(middle.get(name))


def _windows(middle: Mapping[str, Mapping[str, float]], folder: Path) -> Path | None:
    loads: dict[float, Load] = {window: Load(window) for window in WINDOWS}
    curves = [
        Curve(name, *over(middle[name], loads, "calls_per_s")) for name in SWEPT if name in middle
    ]
    return _one(curves, ("calls in flight", "calls/s, 1 KiB"), folder, "windows")


def _sizes(middle: Mapping[str, Mapping[str, float]], folder: Path) -> Path | None:
    small: dict[float, Load] = {size: Load(32, size) for size in SIZES}
    large: dict[float, Load] = {size: Load(2, size) for size in LARGE_SIZES}
    curves: list[Curve] = []
    for name in SWEPT:
        figures = middle.get(f"{name}, sizes", {})
        curves.append(Curve(name, *over(figures, small, "gb_per_s")))
        curves.append(Curve(name, *over(figures, large, "gb_per_s"), dashes="--"))
    labels = ("bytes of a message (— 32 in flight, - - 2)", "GB/s each way")
    return _one(curves, labels, folder, "sizes")


def _loss(middle: Mapping[str, Mapping[str, float]], folder: Path) -> Path | None:
    curves: list[Curve] = []
    for figure, dashes in (("p999_us", "-"), ("p99_us", "--")):
        for name in WIRED:
            by_loss = {lost: middle.get(lossy_name(name, lost), {}) for lost in LOST}
            key = Load(32).key + figure
            points = [(100 * lost, said[key]) for lost, said in by_loss.items() if key in said]
            curves.append(Curve(name, [x for x, _ in points], [y for _, y in points], dashes))
    labels = ("% of packets lost, each way", "latency, µs (— p99.9, - - p99)")
    return _one(curves, labels, folder, "loss", is_log_x=False)


def _one(
    curves: Sequence[Curve],
    labels: tuple[str, str],
    folder: Path,
    name: str,
    *,
    is_log_x: bool = True,
) -> Path | None:
    if not any(curve.xs for curve in curves):
        return None
    figure, (ax,) = _figure(1)
    _draw(ax, curves)
    if not is_log_x:
        ax.set_xscale("linear")
    ax.set_xlabel(labels[0])
    ax.set_ylabel(labels[1])
    return _save(figure, folder, name)


def _figure(panels: int) -> tuple[Any, Any]:
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots(1, panels, sharey=True, squeeze=False, layout="constrained")
    return figure, axes[0]


def _draw(ax: Any, curves: Sequence[Curve]) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    named: set[str] = set()
    for curve in curves:
        if not curve.xs:
            continue
        label = curve.label if curve.label not in named else None
        named.add(curve.label)
        colour = COLOURS.get(curve.label, "#000000")
        ax.plot(curve.xs, curve.ys, curve.dashes, color=colour, label=label, marker=".")
    if named:
        ax.legend(fontsize="small")


def _save(figure: Any, folder: Path, name: str) -> Path:
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    path = folder / f"performance-{name}.svg"
    figure.savefig(path, format="svg", metadata={"Date": None, "Title": ALTS[name]})
    pyplot.close(figure)
    text = path.read_text(encoding="utf-8")
    path.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", encoding="utf-8")
    return path
