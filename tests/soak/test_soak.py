"""A soak of some seconds, and that it would see what it is there to see."""

from dataclasses import replace

import pytest

from tests.soak.__main__ import main
from tests.soak.watch import Life, Sample, grown
from tests.soak.work import Notes

STEADY = [Sample(float(second), 50_000, 20, 2) for second in range(30)]


def leaking(name: str, by: int) -> list[Sample]:
    """Samples of which one figure grows by so much from one to the next."""
    return [
        replace(sample, **{name: getattr(sample, name) + by * number})
        for number, sample in enumerate(STEADY)
    ]


def test_steady_process_has_not_grown() -> None:
    assert grown(STEADY) == []


@pytest.mark.parametrize(
    ("name", "by"), [("resident_kib", 300), ("descriptors", 1), ("threads", 1)]
)
def test_growth_is_seen(name: str, by: int) -> None:
    (found,) = grown(leaking(name, by))
    assert "grew" in found


def test_what_fills_at_first_is_no_growth() -> None:
    filling = [replace(sample, resident_kib=10_000) for sample in STEADY[:10]]
    assert grown([*filling, *STEADY[10:]]) == []


def test_visitors_are_no_growth() -> None:
    visited = [replace(each, descriptors=20 + 5 * (each.seconds % 3 > 0)) for each in STEADY[10:]]
    assert grown([*STEADY[:10], *visited]) == []


def test_wrong_and_late_calls_are_problems(capsys: pytest.CaptureFixture[str]) -> None:
    notes = Notes()
    notes.ended("echo", began=0.0, limit_seconds=1.0, problem="other bytes")
    life = Life("client", pid=0)
    life.hear({"calls": notes.calls, "late": notes.late, "wrong": notes.wrong})
    assert life.problems() == [
        "client: 1 times echo: other bytes",
        "client: 1 calls outlived their deadline",
    ]


def test_soak_of_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["soak", "--minutes", "0.15", "--every", "1"])
    status = main()
    said = capsys.readouterr().out
    assert status == 0, said
    for who in ("sidecar", "server", "client, direct", "client, inline", "blocking client, inline"):
        assert f"| {who} |" in said
