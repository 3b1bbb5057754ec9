"""What calls are told of their handlers, under kills, against the handlers' journal."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from machnet_rpc import RpcError, connect
from tests.e2e.processes import Fleet
from tests.e2e.truth import Siege, Truth, Verdict, entries, journal_at, judge, note
from tests.machnet_rpc.waiting import until
from tests.memory_files import needs_shm

CALLS = 2500
SECONDS_MAX = 60.0


@pytest.mark.parametrize("rung", ["direct", "sidecar", "inline"])
def test_executed_is_never_wrong(tmp_path: Path, rung: str) -> None:
    with Fleet(tmp_path) as fleet:
        argv = [sys.executable, "-m", "tests.e2e.truth", "--calls", str(CALLS), "--rung", rung]
        figures = fleet.start(argv).line(SECONDS_MAX)
    assert figures["wrong"] == 0, figures["wrong_first"]
    assert figures["calls"] >= CALLS
    assert figures["kills"]
    assert figures["failures"].get("yes", 0) > 0 or set(figures["kills"]) == {"client"}


@pytest.mark.parametrize(
    ("rung", "with_engine"),
    [
        ("direct", False),
        ("sidecar", False),
        pytest.param("sidecar", True, marks=needs_shm),
        pytest.param("inline", False, marks=needs_shm),
    ],
)
async def test_what_a_killed_server_had_not_started_was_not_executed(
    tmp_path: Path, rung: str, *, with_engine: bool
) -> None:
    """A server that stands still takes nothing more: what is sent then, it never starts."""
    siege = Siege(tmp_path, rung, 1)
    try:
        address, via = siege.start()
        async with connect(address, via=via) as client:
            visit = client.stub(Truth).visit
            await visit(0, 0.0)
            begun = [asyncio.create_task(visit(number, 9.0)) for number in range(1, 9)]
            await until(lambda: len(list(entries(tmp_path / "executed"))) == 9)
            await visit(17, 0.0)  # by then the last of them is past its first step
            siege.stop_server()
            late = [asyncio.create_task(visit(number, 9.0)) for number in range(9, 17)]
            await asyncio.sleep(0.2)
            siege.replace_server(with_engine=with_engine)  # the next one knows, where nobody else
            told = await asyncio.gather(*begun, *late, return_exceptions=True)
    finally:
        siege.stop()
    fates = [each.executed for each in told if isinstance(each, RpcError)]
    assert fates == ["yes"] * 8 + ["no"] * 8
    assert len(list(entries(tmp_path / "executed"))) == 10


@pytest.mark.parametrize(
    ("told", "times", "is_wrong"),
    [("answer", 1, False), ("answer", 0, True), ("answer", 2, True), ("no", 0, False),
     ("no", 1, True), ("yes", 1, False), ("yes", 0, True), ("maybe", 0, False),
     ("maybe", 1, False)],
)  # fmt: skip
def test_the_judge_finds_what_is_untrue(
    tmp_path: Path, told: str, times: int, *, is_wrong: bool
) -> None:
    executed, heard = journal_at(tmp_path / "executed"), journal_at(tmp_path / "told")
    for _ in range(times):
        note(executed, 7, "runs")
    note(heard, 7, told, "sent")
    verdict = Verdict("direct")
    judge(tmp_path, verdict)
    assert (len(verdict.wrong), verdict.calls) == (is_wrong, 1)
    assert json.loads(json.dumps(verdict.figures()))["wrong"] == is_wrong
