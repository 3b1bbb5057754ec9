"""Verdicts: met, missed, not to be had; and that rows ask for figures that measures give."""

from collections.abc import Iterator

import pytest

from benchmarks.bars import Bar, Ref, judge, number, ratios
from benchmarks.contenders import CONTENDERS
from benchmarks.measures import Echo, Lossy, Measure, msggen_figures
from benchmarks.rows import MEASURES, ROWS
from benchmarks.runs import Said

OURS, THEIRS = Ref("ours", "p50_us"), Ref("theirs", "p50_us")


def said(*values: float, way: str = "") -> list[Said | None]:
    return [Said({"p50_us": value}, way) for value in values]


def test_ratio_is_the_median_of_each_rounds_own() -> None:
    results = {"ours": said(10, 40, 11), "theirs": said(20, 80, 20)}  # a slow second round
    verdict = judge(Bar("x", OURS, 0.5, THEIRS), results, {})
    assert verdict.cells == ["x", "11 µs", "theirs: 20 µs", "0.50×", "≤ 0.5×", "10%", "ok"]


def test_ratio_leaves_out_failed_rounds_and_those_of_one_side() -> None:
    results = {"ours": [*said(4), None, *said(9, 5)], "theirs": said(2, 3, 3)}
    assert ratios(results, OURS, THEIRS) == [2, 3]
    assert ratios(results, OURS, Ref("theirs", "p99_us")) == []


def test_ratio_is_of_runs_that_met_processors_as_far_apart() -> None:
    """A host moves them: ours met them near first, theirs far, and the other way round."""
    results = {"ours": said(10, 40, 12), "theirs": said(80, 20, 90)}
    for measure, states in {"ours": "nfn", "theirs": "fnx"}.items():
        for run, state in zip(results[measure], states, strict=True):
            assert run is not None
            run.lines_ns.extend({"n": [97, 99], "f": [490, 480], "x": [97, 490]}[state])
    assert ratios(results, OURS, THEIRS) == [10 / 20, 40 / 80, 12 / 20]
    for run in results["theirs"]:
        assert run is not None
        run.lines_ns[:] = [1000]  # no two alike: what there is, round by round
    assert ratios(results, OURS, THEIRS) == [10 / 80, 40 / 20, 12 / 90]


@pytest.mark.parametrize(
    ("limit", "is_least", "mark"),
    [(10.0, False, "ok"), (9.9, False, "NO"), (10.0, True, "ok"), (10.1, True, "NO")],
)
def test_bar_is_met_at_its_limit(limit: float, is_least: bool, mark: str) -> None:
    verdict = judge(Bar("x", OURS, limit, is_least=is_least), {"ours": said(10)}, {})
    assert verdict.mark == mark


def test_calls_that_went_another_way_miss_the_bar() -> None:
    bar = Bar("x", OURS, 100.0, way="direct")
    assert judge(bar, {"ours": said(1, way="direct")}, {}).mark == "ok"
    verdict = judge(bar, {"ours": said(1, way="sidecar+udp")}, {})
    assert (verdict.mark, verdict.against) == ("NO", "by sidecar+udp")


def test_row_that_cannot_be_had_says_why() -> None:
    verdict = judge(Bar("x", OURS, 1.0, THEIRS), {"ours": said(1)}, {"theirs": "not root"})
    assert (verdict.against, verdict.mark) == ("not root", "–")
    assert judge(Bar("x", OURS, 1.0), {"ours": [None]}, {}).mark == "–"


def test_figure_without_a_bar_is_shown_unmarked() -> None:
    verdict = judge(Bar("x", OURS, None), {"ours": said(3)}, {})
    assert (verdict.ours, verdict.bar, verdict.mark) == ("3 µs", "", "")


def test_numbers_have_the_digits_that_they_are_worth() -> None:
    assert [number(value) for value in (1234567.8, 123.4, 12.34, 1.234, 2.0)] == [
        "1,234,568",
        "123",
        "12.3",
        "1.23",
        "2",
    ]


def test_rows_ask_for_figures_that_measures_give() -> None:
    wrong = [f"{row.word}: {ref}" for row in ROWS for ref in refs(row.bars) if not gives(ref)]
    assert not wrong, "\n".join(wrong)
    assert not {name for row in ROWS for name in row.measures} - MEASURES.keys()


def test_every_measure_is_asked_for_by_a_row() -> None:
    assert MEASURES.keys() == {name for row in ROWS for name in row.measures}
    assert len({row.word for row in ROWS}) == len(ROWS)


def refs(bars: tuple[Bar, ...]) -> Iterator[Ref]:
    for bar in bars:
        yield bar.ours
        if bar.against is not None:
            yield bar.against


def gives(ref: Ref) -> bool:
    """Whether a load of the measure has the figure's key, or the figure is no load's."""
    measure: Measure = MEASURES[ref.measure]
    if not isinstance(measure, Echo | Lossy) or ":" not in ref.figure:
        return True
    assert measure.contender in CONTENDERS
    return ref.figure.partition(":")[0] + ":" in {load.key for load in measure.task.loads}


def test_msggen_says_it_by_an_echos_names() -> None:
    row = '{"window": 32, "rpcs_per_second": 5e5, "p50_us": 60, "p99_us": 70, "p999_us": 80}'
    figures = msggen_figures(f'{{"title": "t", "size_bytes": 1024, "rows": [{row}]}}')
    assert figures["32x1024:calls_per_s"] == 5e5
    assert figures["32x1024:p999_us"] == 80
