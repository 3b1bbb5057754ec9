"""`mrpc sim`: verdicts, exit statuses, traces and sentences."""

import json
from pathlib import Path
from typing import Any

import pytest

from machnet_rpc.cli import main

GOOD: dict[str, Any] = {
    "topology": {"kind": "pair", "forward": {"loss": 0.05}},
    "workloads": [{"kind": "calls", "count": 50}],
}


def write(folder: Path, draft: Any) -> str:
    path = folder / "scenario.json"
    path.write_text(json.dumps(draft), encoding="utf-8")
    return str(path)


def test_pass_is_zero_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "run", write(tmp_path, GOOD), "--seed", "7"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["verdict"] == "pass"
    assert answer["seed"] == 7
    assert answer["calls"] == {"started": 50, "replied": 50, "failed": 0}


def test_a_broken_promise_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    big = {"kind": "bulk", "count": 1, "message_bytes": 8 << 20}
    # Five seconds are on the wire, and a tenth of one is given.
    slow = {"kind": "pair", "forward": {"rate_gbps": 0.01}}
    draft = {"topology": slow, "workloads": [big], "duration_us": 1000, "heal_us": 1e5}
    assert main(["sim", "run", write(tmp_path, draft)]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["verdict"] == "fail"
    assert "never" in answer["violations"][0]["kind"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"topology": {"kind": "ring"}}, 'kind is "dumbbell" or "pair" or "star"'),
        (
            {"workloads": [{"kind": "poisson", "sizes": [[64, 1.0], [1400, 0.5]]}]},
            "workloads[0].sizes: shares must ascend",
        ),
        ({"seed": -1}, "seed is -1; allowed is a whole number from 0"),
        ({"sed": 1}, "did you mean seed?"),
        ({"workloads": [{"kind": "bulk", "window": 0}]}, "workloads[0].window is 0"),
        ({"topology": {"kind": "pair", "back": {"loss": 2}}}, "topology.back.loss is 2"),
        ({"hosts": {"7": {}}}, "hosts.7 does not exist"),
        ({"transport": {"congestion": "guess"}}, 'congestion is "guess"'),
        ({"workloads": [{"kind": "bulk", "pairs": [[0, 0]]}]}, "cannot send to itself"),
        ({"workloads": [{"kind": "bulk", "pairs": [[0, 9]]}]}, "hosts are 0 to 1"),
        ({"workloads": [{"kind": "bulk", "message_bytes": 9 << 20}]}, "allowed is 8 to 8388608"),
        (
            {"incidents": [{"kind": "blackout", "at_us": 1, "link": "up3", "for_us": 1}]},
            "incidents.link is 'up3'",
        ),
        (
            {"incidents": [{"kind": "crash", "at_us": 1, "node": 9, "for_us": 1}]},
            "events[0].target",
        ),
    ],
)
def test_a_wrong_scenario_is_two_and_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Any, sentence: str
) -> None:
    assert main(["sim", "run", write(tmp_path, GOOD | change)]) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_what_is_no_json_or_no_file_is_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "scenario.json"
    assert main(["sim", "run", str(path)]) == 2
    path.write_text("{", encoding="utf-8")
    assert main(["sim", "run", str(path)]) == 2
    assert "JSON" in capsys.readouterr().err


def test_trace_has_every_packet_and_names_repeats(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    assert main(["sim", "run", write(tmp_path, GOOD), "--trace", str(trace)]) == 0
    lines = [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]
    packets = [line for line in lines if not line.get("continues")]
    sent = [line for line in packets if line["direction"] == "out"]
    arrived = [line for line in packets if line["direction"] == "in"]
    lost = [line for line in packets if line["direction"] == "drop"]
    assert len(sent) == len(arrived) + len(lost)
    assert {line["reason"] for line in lost} == {"lost"}
    assert [line["time_ns"] for line in lines] == sorted(line["time_ns"] for line in lines)
    numbers = {(line["node"], line["packet"]) for line in sent}
    repeats = [line for line in lines if line["retransmission_of"] is not None]
    assert repeats
    assert all((line["node"], line["retransmission_of"]) in numbers for line in repeats)


def test_schema_is_one_of_a_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert {"topology", "workloads", "seed", "incidents"} <= set(schema["properties"])
