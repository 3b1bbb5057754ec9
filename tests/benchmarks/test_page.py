"""Tables into pages, results into tables, and plots that are the same for the same figures."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import page, plots, report
from benchmarks.contenders import CONTENDERS
from benchmarks.distribution import curve_key
from benchmarks.load import Load
from benchmarks.rounds import Results
from benchmarks.rows import ROWS, SWEPT, WINDOWS, lossy_name
from benchmarks.runs import Said


def results() -> Results:
    rates = {Load(window).key + "calls_per_s": 1000.0 * window for window in WINDOWS}
    curve = {Load(1).key + curve_key(index): 10.0 + index for index in range(20)}
    loss = {Load(32).key + "p99_us": 5.0, Load(32).key + "p999_us": 9.0}
    rounds: dict[str, list[Said | None]] = {name: [Said(rates | curve), None] for name in SWEPT}
    rounds[lossy_name("grpc.aio", 0.01)] = [Said(loss)]
    return Results(rounds, {"memcpy": "no memory"}, pieces_s=[1.0, 1.5, 1.2], congestion="cubic")


def test_table_takes_the_place_of_the_one_of_its_name(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb <!-- y: begin -->\n")
    page.write("x", "new", path)
    assert path.read_text() == "a\n<!-- x: begin -->\nnew\n<!-- x: end -->\nb <!-- y: begin -->\n"


def test_page_without_a_place_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("<!-- x: begin -->\nno end")
    with pytest.raises(ValueError, match="x: begin"):
        page.write("x", "new", path)
    assert path.read_text() == "<!-- x: begin -->\nno end"


def test_our_page_has_a_place_for_every_table() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    for name in ("bars", "echo", "loss", "wire"):
        assert text.count(f"<!-- {name}: begin -->") == 1
        assert text.count(f"<!-- {name}: end -->") == 1
    assert all(f"performance-{name}.svg" in text for name in plots.ALTS)


def test_the_readme_quotes_our_page() -> None:
    quoted = report.excerpt(page.read("echo"))
    assert page.read("figures", page.README) == quoted
    assert "grpc.aio" in quoted
    elsewhere = report.excerpt("| contender | p50 µs | p99.9 µs | 32 |\n|-|-|-|-|\n"
                               "| direct (by sidecar+udp) | 1 | 2 | 3 |")  # fmt: skip
    assert "direct" not in elsewhere


def test_report_says_what_was_met_and_what_could_not_be_had() -> None:
    lines = report.bars(ROWS, results()).splitlines()
    assert len(lines) == 2 + len(ROWS) + sum(len(row.bars) for row in ROWS)
    assert any("no memory" in line for line in lines)
    assert report.count(ROWS, results()).endswith("could not be had here.")
    assert "cubic" in report.heading(results())


def test_figures_are_of_contenders_only() -> None:
    names = [line.split(" | ")[0][2:] for line in report.figures(results()).splitlines()[2:]]
    assert names == [name for name in SWEPT if name in CONTENDERS]
    assert report.figures(Results()) == ""


def test_plots_are_the_same_for_the_same_figures(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        plots.write(results(), folder)
    drawn = sorted(path.name for path in first.iterdir())
    assert drawn == [f"performance-{name}.svg" for name in ("latency", "loss", "windows")]
    for name in drawn:
        assert (first / name).read_bytes() == (second / name).read_bytes()
        ElementTree.parse(first / name)
    assert "grpc.aio" in (first / "performance-windows.svg").read_text(encoding="utf-8")


def test_plots_without_figures_are_none(tmp_path: Path) -> None:
    assert plots.write(Results(), tmp_path) == []
