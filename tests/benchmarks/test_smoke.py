"""Real runs with a few calls each: processes start, figures come, nothing stays. No timing bars."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from benchmarks import crowd
from benchmarks.contenders import CONTENDERS
from benchmarks.floors import extension
from benchmarks.load import Load, check, closed, opened
from benchmarks.measures import TwoCpus
from benchmarks.runs import SHARED_MEMORY, RunFailedError, Setting, run
from benchmarks.tasks import Task

EAL_FOLDER = Path("/var/run/dpdk")
TINY = Task((Load(1, seconds=0.02, warmup_s=0.01), Load(4, 64, seconds=0.02, warmup_s=0.01)))


@pytest.mark.parametrize("name", ["inline+udp", "ring, spinning", "ring, blocking", "memcpy"])
def test_contender_gives_the_figures_of_every_load(name: str) -> None:
    if name.startswith("ring") and shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    before = set(SHARED_MEMORY.glob("mrpc-bench-*"))
    said = run(name, TINY)
    for load in TINY.loads:
        assert said.figures[load.key + "calls_per_s"] > 0
        assert said.figures[load.key + "p50_us"] <= said.figures[load.key + "p999_us"]
    assert said.travelled == (name if name == "inline+udp" else "")
    assert set(SHARED_MEMORY.glob("mrpc-bench-*")) == before


@pytest.mark.dpdk
@pytest.mark.parametrize("name", [name for name in CONTENDERS if "virtio" in name])
def test_dpdk_keeps_no_folder_of_a_run(name: str) -> None:
    why = CONTENDERS[name]().missing()
    if why is not None:
        pytest.skip(why)
    before = set(EAL_FOLDER.glob("*"))
    assert run(name, TINY).travelled
    assert {path.name for path in set(EAL_FOLDER.glob("*")) - before} <= {"rte"}


def test_what_two_cpus_can_do_is_measured_where_there_are_two() -> None:
    measure = TwoCpus("two", size_bytes=1 << 20, idle_s=0.01)
    why = measure.missing()
    if why is not None:
        pytest.skip(why)
    affinity = os.sched_getaffinity(0)
    said = measure.run(Setting(), 1.0)
    assert said.figures["gb_per_s"] > 0
    assert said.figures["wake_us"] > 0
    assert os.sched_getaffinity(0) == affinity
    with pytest.raises(ValueError, match="no multiple of 32768"):
        extension().copies_gb_per_s(0, 1, 1000)
    with pytest.raises(ValueError, match="no such processors"):
        extension().wake_ns(0, -1, 0.0)


@pytest.mark.parametrize("rate", [0.0, 200.0])
def test_crowd_gives_figures_at_a_rate_and_without_one(rate: float) -> None:
    said = crowd.run("uvloop protocol, UNIX", clients=2, rate=rate, seconds=0.1)
    assert said["calls_per_s"] > 0
    assert 0 < said["p50_us"] <= said["p999_us"]
    assert said["cpu_us"] > 0


def test_run_that_fails_says_what_the_process_said() -> None:
    task = Task((Load(1, open_share=0.5),))  # of a rate that nobody measured
    with pytest.raises(RunFailedError, match=r"^memory: no figures in time: KeyError"):
        run("memory", task)


async def test_what_is_no_echo_is_refused() -> None:
    check(b"abc", b"abc")
    with pytest.raises(ValueError, match="not an echo"):
        check(b"abc", b"abd")


async def test_closed_loop_keeps_its_window_and_open_loop_its_rate() -> None:
    under_way = most = 0

    async def call(payload: object) -> object:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001)
        under_way -= 1
        return payload

    timings = await closed(call, b"", 5, 0.02)
    assert most == 5
    assert len(timings.took_ns) >= 5
    timings = await opened(call, b"", 1000.0, 0.05)
    assert len(timings.took_ns) == 50  # however late each of them was
    assert min(timings.took_ns) >= 1_000_000


async def test_open_loop_tells_of_a_call_that_fails() -> None:
    async def call(payload: object) -> object:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        await opened(call, b"", 1000.0, 0.01)


def test_payloads_are_as_long_as_asked() -> None:
    for name in ("inline+udp", "grpc.aio"):
        assert len(CONTENDERS[name]().payload(1000)) == 1000
