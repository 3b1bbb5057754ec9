"""`mrpc msggen`: its roles, its self-contained runs, and its sentences."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from machnet_rpc.cli import main, msggen, two_hosts
from machnet_rpc.cli.two_hosts import child, mrpc, processors
from transport_engine.doctor import Rung
from transport_engine.errors import NoEngineError

Capture = pytest.CaptureFixture[str]
CORES = sorted(os.sched_getaffinity(0))
two_processors = pytest.mark.skipif(len(CORES) < 2, reason="this process may run on one core only")


def test_alone_it_needs_nothing(capsys: Capture) -> None:
    assert main(["msggen", "--seconds", "0.05", "--windows", "1,4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["window"] for row in found["rows"]] == [1, 4]
    for row in found["rows"]:
        assert row["rpcs"] > 0
        assert 0 < row["p50_us"] <= row["p99_us"] <= row["p999_us"]
    assert main(["msggen", "--seconds", "0.02", "--windows", "2", "--size", "65536"]) == 0
    assert "65536 bytes there and back" in capsys.readouterr().out


def test_two_engines_and_two_applications_are_four_processes(capsys: Capture) -> None:
    """Both roles, attached to sidecars, which are joined by sockets of the kernel."""
    argv = ["msggen", "--netif", "udp", "--seconds", "0.1", "--windows", "1,8", "--json"]
    assert main(argv) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["rpcs"] > 0 for row in found["rows"]] == [True, True]


def test_two_may_measure_at_the_same_time() -> None:
    command = [*mrpc("msggen"), "--netif", "udp", "--windows", "1", "--seconds", "0.2", "--json"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for each in both:
        said, _ = each.communicate(timeout=60.0)
        assert each.returncode == 0
        assert json.loads(said)["rows"][0]["rpcs_per_second"] > 0


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_that_its_processes_hear_first(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal tells all of them; what had not started yet is no failure then."""

    async def interrupted(_: object) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        raise NoEngineError("the server did not start")

    monkeypatch.setattr(msggen, "_two_hosts", interrupted)
    assert main(["msggen", "--netif", "udp"]) == 130
    assert capsys.readouterr() == ("", "")


def test_a_child_that_ends_without_a_word(tmp_path: Path) -> None:
    with (
        pytest.raises(NoEngineError, match="the server did not start: it ended without a word"),
        child("the server", ["true"], tmp_path / "log"),
    ):
        pass


def test_two_inline_engines_are_two_processes(capsys: Capture) -> None:
    """Each role drives its engine itself; the same wire, without a sidecar."""
    argv = ["msggen", "--netif", "udp", "--inline", "--seconds", "0.1", "--windows", "1,8"]
    assert main([*argv, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["rpcs"] > 0 for row in found["rows"]] == [True, True]
    assert found["title"].endswith("applications inline")


def queued(capsys: Capture, netif: str, queues: int) -> dict[str, Any]:
    """What it says of as many queues, each with a thread at either end."""
    argv = ["msggen", "--netif", netif, "--queues", str(queues), "--seconds", "0.1", "--json"]
    assert main([*argv, "--windows", "1,8"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [row["rpcs"] > 0 for row in found["rows"]] == [True, True]
    assert f"{queues} queue" in found["title"]
    return found


def test_one_queue_is_a_thread_on_a_processor(capsys: Capture) -> None:
    assert queued(capsys, "udp", 1)["handed_over"] == 0


@two_processors
def test_two_queues_are_two_threads_on_two_processors(capsys: Capture) -> None:
    queued(capsys, "udp", 2)


@two_processors
@pytest.mark.dpdk
def test_a_virtual_pair_brings_everything_to_the_thread_whose_it_is(capsys: Capture) -> None:
    assert queued(capsys, "virtio", 2)["handed_over"] == 0


@two_processors
def test_what_no_queues_can_be_is_a_sentence(capsys: Capture, tmp_path: Path) -> None:
    config = tmp_path / "engine.toml"
    config.write_text(f"[engine]\ncores = {CORES[:2]}\n", encoding="utf-8")
    assert main(["msggen", "--serve", "65535", "--config", str(config)]) == 2
    assert "65535 is the last" in capsys.readouterr().err
    config.write_text("[engine]\ncores = [4095]\n", encoding="utf-8")
    assert main(["msggen", "127.0.0.1:7", "--config", str(config)]) == 2
    assert "engine.cores has processor 4095" in capsys.readouterr().err


def test_a_mistake_in_the_configuration_is_said(capsys: Capture, tmp_path: Path) -> None:
    config = tmp_path / "engine.toml"
    config.write_text('[engine]\ndriver = "carrier pigeon"\n', encoding="utf-8")
    assert main(["msggen", "127.0.0.1:7", "--config", str(config)]) == 2
    assert "carrier pigeon" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("allowed", "places"),
    [
        ([3], ((3, 3), (3, 3))),
        ([0, 1], ((0, 0), (1, 1))),
        ([2, 4, 6, 7, 9], ((2, 4), (6, 7))),
    ],
)
def test_hosts_take_no_processor_from_each_other(
    allowed: list[int], places: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    assert processors(allowed) == places


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--size", "15"], "--size 15: allowed is 16 to 65536"),
        (["--size", "65537"], "--size 65537"),
        (["--windows", "0"], "--windows 0: numbers from 1 to 4096"),
        (["--windows", "1,x"], "--windows 1,x"),
        (["--windows", ""], "with commas between"),
        (["--serve", "0"], "a port is 1 to 65535"),
        (["--serve", "7", "--netif", "udp"], "exclude each other"),
        (["127.0.0.1:7", "--netif", "udp"], "exclude each other"),
        (["--engine", "/nowhere"], "--engine is for ADDR and --serve"),
        (["--config", "/nowhere"], "--config is for ADDR and --serve"),
        (["--serve", "7", "--config", "a", "--engine", "b"], "--engine and --config exclude"),
        (["--inline"], "--inline is for --netif memif, virtio"),
        (["--queues", "1"], "--queues is for --netif virtio, udp"),
        (["--queues", "1", "--netif", "memif"], "--queues is for --netif virtio, udp"),
        (["--queues", "0", "--netif", "udp"], "--queues 0: each needs a processor"),
        (["--queues", "4096", "--netif", "udp"], "--queues 4096: each needs a processor"),
        (["--inline", "--netif", "loopback"], "--inline is for --netif memif, virtio"),
    ],
)
def test_bad_arguments_are_refused(argv: list[str], sentence: str, capsys: Capture) -> None:
    assert main(["msggen", *argv]) == 2
    assert sentence in capsys.readouterr().err


def test_without_an_engine_it_says_so(capsys: Capture, tmp_path: Path) -> None:
    engine = ["--engine", str(tmp_path / "none.sock")]
    assert main(["msggen", "127.0.0.1:7", *engine]) == 3
    assert "none.sock" in capsys.readouterr().err


def test_what_a_wire_lacks_is_said(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    rung = Rung("memif", possible=False, why="the moon is full")
    monkeypatch.setattr(two_hosts, "rungs", lambda _: (rung,))
    assert main(["msggen", "--netif", "memif", "--json"]) == 3
    said = capsys.readouterr()
    assert "--netif memif is not possible here: the moon is full" in said.err
    assert "the moon is full" in json.loads(said.out)["error"]["message"]
