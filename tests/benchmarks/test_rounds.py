"""Interleaved rounds: the order of runs, what a failed one costs, and an interrupt."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks.bench import chosen, main, measures_of
from benchmarks.measures import Measure
from benchmarks.rounds import Results, plan, run_all
from benchmarks.rows import ROWS
from benchmarks.runs import RunFailedError, Said, Setting


@dataclass(frozen=True, slots=True)
class Scripted(Measure):
    """Does what its script says, one word a round."""

    script: tuple[str, ...] = ()
    rounds: int = 100
    lacks: str | None = None
    log: list[str] = field(default_factory=list[str])

    @property
    def rounds_max(self) -> int:
        return self.rounds

    def missing(self) -> str | None:
        return self.lacks

    def run(self, loopback: Setting, scale: float) -> Said:
        word = self.script[len([name for name in self.log if name == self.name])]
        self.log.append(self.name)
        if word == "fails":
            raise RunFailedError("it did not start")
        if word == "interrupted":
            raise KeyboardInterrupt
        return Said({"value": float(word)})


def told(doing: str, done: int, total: int) -> None:
    assert 0 <= done <= total


def test_every_round_runs_every_measure_once() -> None:
    log: list[str] = []
    often = Scripted("often", ("1", "2", "3"), log=log)
    seldom = Scripted("seldom", ("4",), rounds=1, log=log)
    results = run_all([often, seldom], 3, Setting(), 1.0, told)
    assert log == ["often", "seldom", "often", "often"]
    assert [said and said.figures["value"] for said in results.rounds["often"]] == [1, 2, 3]
    assert len(plan([often, seldom], 3)) == len(log) == len(results.pieces_s)
    assert results.slowness >= 1.0


def test_failed_run_leaves_a_gap_in_its_round_and_its_reason() -> None:
    results = run_all([Scripted("a", ("1", "fails", "3"))], 3, Setting(), 1.0, told)
    assert [said is None for said in results.rounds["a"]] == [False, True, False]
    assert results.failures == ["a: it did not start"]


def test_interrupt_keeps_what_was_measured() -> None:
    measures = [Scripted("a", ("1", "2")), Scripted("b", ("3", "interrupted"))]
    results = run_all(measures, 2, Setting(), 1.0, told)
    assert results.was_interrupted
    assert {name: len(rounds) for name, rounds in results.rounds.items()} == {"a": 2, "b": 1}


def test_results_come_back_as_they_were_saved(tmp_path: Path) -> None:
    measures = [Scripted("a", ("1", "fails")), Scripted("b", lacks="not root")]
    results = run_all(measures, 2, Setting(), 1.0, told)
    results.save(tmp_path / "kept.json")
    assert Results.load(tmp_path / "kept.json") == results


def test_what_is_missing_is_not_run() -> None:
    results = run_all([Scripted("a", lacks="not root")], 2, Setting(), 1.0, told)
    assert (results.missing, results.rounds) == ({"a": "not root"}, {})


def test_rows_are_chosen_by_their_words_or_by_words_in_their_titles() -> None:
    assert chosen([]) == list(ROWS)
    assert [row.word for row in chosen(["packet", "memif"])] == ["memif", "packet"]
    assert [row.word for row in chosen(["packets"])] == ["loss"]
    assert {measure.name for measure in measures_of(chosen(["sync"]))} == {
        "synchronous client",
        "ring, blocking",
    }


def test_bad_arguments_end_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "no-such-row"]) == 2
    assert main(["--only", "sync", "--write"]) == 2
    assert main(["--list"]) == 0
    printed = capsys.readouterr()
    assert "--list says which there are" in printed.err
    assert len(printed.out.splitlines()) == len(ROWS)
