"""`mrpc sim`: verdicts, exit statuses, traces and sentences."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from machnet_rpc.cli import main
from transport_engine import simulator
from transport_engine.scenario import Scenario

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
        ({"name": "a" * 201}, "allowed is a string of up to 200 characters"),
        ({"sed": 1}, "did you mean seed?"),
        ({"workloads": [{"kind": "bulk", "window": 0}]}, "workloads[0].window is 0"),
        ({"topology": {"kind": "pair", "back": {"loss": 2}}}, "topology.back.loss is 2"),
        ({"hosts": {"7": {}}}, "hosts.7 does not exist"),
        ({"transport": {"congestion": "guess"}}, 'congestion is "guess"'),
        ({"workloads": [{"kind": "bulk", "pairs": [[0, 0]]}]}, "cannot send to itself"),
        ({"workloads": [{"kind": "bulk", "pairs": [[0, 9]]}]}, "hosts are 0 to 1"),
        ({"workloads": [{"kind": "bulk", "message_bytes": 9 << 20}]}, "allowed is up to 8388608"),
        (
            {"incidents": [{"kind": "blackout", "at_us": 1, "link": "up3", "for_us": 1}]},
            'incidents[0].link is "up3"; allowed is all, forward, back',
        ),
        (
            {"incidents": [{"kind": "crash", "at_us": 1, "node": 9, "for_us": 1}]},
            "incidents[0].node is 9; hosts are 0 to 1",
        ),
        ({"workloads": [{"kind": "calls", "count": 1 << 70}]}, "workloads[0].count is 1180"),
        ({"workloads": [{"kind": "incast", "rounds": 1 << 70}]}, "workloads[0].rounds is"),
        (
            {"topology": {"kind": "pair", "forward": {"loss_packets": [1 << 70]}}},
            "topology.forward.loss_packets[0] is",
        ),
        (
            {"topology": {"kind": "pair", "back": {"rate_gbps": 1e-9}}},
            "topology.back.rate_gbps is 1e-09; allowed is 0 for no limit, or from 0.0001",
        ),
        (
            {"topology": {"kind": "pair", "forward": {"rate_gbps": 0, "delay_us": 0}}},
            "hosts 0 and 1 need a delay_us or a rate_gbps between them",
        ),
        (
            {"topology": {"kind": "pair", "forward": {"delay_us": 2e6}}},
            "handshake_timeout_us must be above 8e+06, and is 5e+06",
        ),
        ({"topology": {"kind": "star", "hosts": 1000}}, "allowed are up to 65536"),
        ({"hosts": {"01": {}}}, "hosts.01 is"),
        ({"host": {"stall_max_us": 5}}, "host.stall_max_us is 5; allowed is from stall_min_us"),
        ({"hosts": {"1": {"stall_every_us": 0.001}}}, "hosts.1.stall_every_us is 0.001"),
        ({"transport": {"credit_bytes": 1024}}, "transport.credit_bytes is 1024; allowed is from"),
        ({"measure_from_us": 50, "measure_to_us": 50}, "measure_to_us is 50; allowed is above"),
        ({"bin_us": 1}, "bin_us is 1; allowed is 0, or from 244.141"),
        (
            {"workloads": [{"kind": "messages", "messages": [{"source": 5}]}]},
            "workloads[0].messages: host 5 does not exist",
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
    path.write_text("[]", encoding="utf-8")
    assert main(["sim", "run", str(path)]) == 2
    assert "the whole is []; allowed is a table" in capsys.readouterr().err
    path.write_text("{", encoding="utf-8")
    assert main(["sim", "run", str(path)]) == 2
    assert "JSON" in capsys.readouterr().err


def test_a_run_can_be_watched() -> None:
    seen: list[tuple[float, int]] = []
    draft = {"topology": {"kind": "pair"}, "workloads": [{"kind": "bulk"}], "duration_us": 2e6}
    scenario = Scenario.model_validate(draft)
    answer = simulator.run(scenario, watch=lambda now_us, packets: seen.append((now_us, packets)))
    assert len(seen) > 1
    assert seen == sorted(seen)
    assert seen[-1] == (answer["time_us"]["end"], answer["counts"]["packets_sent"])


def test_a_terminal_sees_how_far_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert main(["sim", "run", write(tmp_path, GOOD)]) == 0
    said = capsys.readouterr()
    assert "ms (work ends by 1,000 ms)" in said.err
    assert said.err.endswith("\r\x1b[K")
    assert json.loads(said.out)["verdict"] == "pass"


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


@pytest.mark.parametrize("seed", ["-1", "y", "18446744073709551616"])
def test_what_no_seed_can_be(seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["sim", "run", "-", f"--seed={seed}"])
    assert f"'{seed}' is no whole number from 0 to 2^64 - 1" in capsys.readouterr().err
