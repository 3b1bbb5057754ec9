"""The doctor on machines made up in a folder, and on this one."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from transport_engine.doctor import (
    CAPABILITIES,
    best_rung,
    check_capabilities,
    check_cards,
    check_drivers,
    check_governor,
    check_hugepages,
    check_identity,
    check_kernel,
    check_memlock,
    check_memory,
    check_open_files,
    check_processors,
    check_sidecar,
    examine,
    rungs,
)
from transport_engine.machine import Finding, Machine, parse_kernel

ALL_CAPABILITIES = sum(1 << bit for bit in CAPABILITIES.values())
PMDS = ("net_vhost", "net_virtio", "net_memif", "net_af_xdp", "net_af_packet")


def write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def machine(
    root: Path,
    *,
    is_root: bool = True,
    drivers: str = "udp loopback dpdk",
    kernel: tuple[int, int] = (6, 1),
    capabilities: int = ALL_CAPABILITIES,
    pmds: tuple[str, ...] = PMDS,
    hugepages: int = 0,
    memlock_bytes: int | None = None,
    open_files: int | None = 4096,
) -> Machine:
    write(root, "proc/self/status", f"Name:\tx\nCapEff:\t{capabilities:016x}\nCapBnd:\t0\n")
    write(root, "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", f"{hugepages}\n")
    write(root, "sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "0\n")
    for pmd in pmds:
        write(root, f"usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0/librte_{pmd}.so.23", "")
    return Machine(root, is_root, frozenset(drivers.split()), kernel, memlock_bytes, open_files)


def test_hugepages_missing_come_with_the_command(tmp_path: Path) -> None:
    finding = check_hugepages(machine(tmp_path, hugepages=3))
    assert finding.level == "missing"
    assert finding.sentence.startswith("6 MB")
    assert finding.command == "sysctl -w vm.nr_hugepages=512"


def test_hugepages_of_all_sizes_count_and_the_mount_is_named(tmp_path: Path) -> None:
    here = machine(tmp_path, hugepages=1)
    write(tmp_path, "sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "1\n")
    write(tmp_path, "proc/mounts", "proc /proc proc rw 0 0\nnone /mnt/huge hugetlbfs rw 0 0\n")
    finding = check_hugepages(here)
    assert finding.level == "ok"
    assert "1026 MB" in finding.sentence
    assert "/mnt/huge" in finding.sentence


def test_a_machine_without_sysfs_has_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    here = Machine(tmp_path / "nowhere", False, frozenset({"udp"}), (0, 0), 0, 0)
    levels = {finding.name: finding.level for finding in examine(here)}
    assert levels["hugepages"] == "missing"
    assert levels["capabilities"] == "warn"
    assert best_rung(here).name == "udp"


@pytest.mark.parametrize(
    ("changes", "best"),
    [
        ({"hugepages": 512}, "virtio"),
        ({"hugepages": 0}, "virtio"),  # root can reserve them
        ({"pmds": ("net_memif",)}, "memif"),
        ({"pmds": ("net_vhost", "net_af_xdp")}, "af_xdp"),
        ({"pmds": ("net_af_xdp", "net_af_packet"), "kernel": (4, 19)}, "af_packet"),
        ({"is_root": False}, "af_packet"),
        ({"is_root": False, "capabilities": 0}, "udp"),
        ({"is_root": False, "capabilities": 0, "hugepages": 512}, "virtio"),
        ({"drivers": "udp loopback"}, "udp"),
    ],
)
def test_best_rung(tmp_path: Path, changes: dict[str, object], best: str) -> None:
    here = machine(tmp_path, **changes)  # type: ignore[arg-type]
    assert best_rung(here).name == best
    assert all(rung.why for rung in rungs(here))


def test_build_without_dpdk_says_how_to_get_it(tmp_path: Path) -> None:
    finding = check_drivers(machine(tmp_path, drivers="udp loopback"))
    assert finding.level == "missing"
    # Only this package is built: of others wheels do, and not every machine could build them.
    rebuild = "pip install --force-reinstall --no-deps ."
    assert finding.command == f"apt-get install libdpdk-dev && {rebuild}"


def test_lacking_capabilities_are_named(tmp_path: Path) -> None:
    without_raw = ALL_CAPABILITIES & ~(1 << CAPABILITIES["CAP_NET_RAW"])
    finding = check_capabilities(machine(tmp_path, capabilities=without_raw))
    assert "CAP_NET_RAW" in finding.sentence
    assert "CAP_NET_ADMIN" not in finding.sentence


@pytest.mark.parametrize(
    ("finding_of", "level"),
    [
        (lambda root: check_memlock(machine(root, capabilities=0, memlock_bytes=65536)), "warn"),
        (lambda root: check_memlock(machine(root, memlock_bytes=65536)), "ok"),
        (lambda root: check_open_files(machine(root, open_files=256)), "warn"),
        (lambda root: check_open_files(machine(root, open_files=None)), "ok"),
        (lambda root: check_kernel(machine(root, kernel=(4, 19))), "warn"),
        (lambda root: check_kernel(machine(root, kernel=(5, 4))), "ok"),
        (lambda root: check_processors(machine(root)), "warn"),
        (lambda root: check_identity(machine(root, kernel=(6, 4))), "warn"),
        (lambda root: check_identity(machine(root, kernel=(6, 5))), "ok"),
        (lambda root: check_sidecar(machine(root)), "ok"),
        (lambda root: check_sidecar(machine(root, is_root=False)), "ok"),
    ],
)
def test_limits(tmp_path: Path, finding_of: Callable[[Path], Finding], level: str) -> None:
    assert finding_of(tmp_path).level == level


def test_sidecar_that_is_out_of_reach_names_the_group(tmp_path: Path) -> None:
    (tmp_path / "run/machnet").mkdir(parents=True)
    finding = check_sidecar(machine(tmp_path, is_root=False))
    assert finding.level == "warn"
    assert "control.group" in finding.sentence
    assert "usermod" in (finding.command or "")


def test_sidecar_is_sought_where_programs_seek_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "chosen.sock"
    monkeypatch.setenv("MRPC_SOCKET", str(place))
    lacking = check_sidecar(Machine.here())
    assert (lacking.level, lacking.command) == ("warn", f"mrpc engine --socket {place}")
    assert "MRPC_SOCKET" in lacking.sentence
    place.touch()
    found = check_sidecar(Machine.here())
    assert found.level == "ok"
    assert str(place) in found.sentence


def test_chosen_sidecar_that_is_out_of_reach_is_named(tmp_path: Path) -> None:
    place = tmp_path / "file" / "chosen.sock"
    place.parent.touch()  # no folder: nobody gets at what would be in it, root neither
    here = dataclasses.replace(machine(tmp_path, is_root=False), chosen_socket=place)
    finding = check_sidecar(here)
    assert finding.level == "warn"
    assert f"may not open MRPC_SOCKET's {place}" in finding.sentence


@pytest.mark.parametrize(
    ("allowed", "level", "words"),
    [("0-1", "ok", "2 processors"), ("0,2-3,7", "ok", "4 processors"), ("3", "warn", "one")],
)
def test_processors_are_those_that_the_process_may_use(
    tmp_path: Path, allowed: str, level: str, words: str
) -> None:
    here = machine(tmp_path)
    for number in range(8):
        (tmp_path / f"sys/devices/system/cpu/cpu{number}").mkdir(parents=True)
    write(tmp_path, "proc/self/status", f"Name:\tx\nCpus_allowed_list:\t{allowed}\n")
    finding = check_processors(here)
    assert (finding.level, finding.sentence.startswith(words)) == (level, True)


@pytest.mark.parametrize(
    ("files", "level"),
    [
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "2000 20000\n"}, "warn"),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "150000 100000"}, "warn"),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "150000 100000"}, "warn"),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "400000 100000\n"}, "ok"),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, "ok"),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, "ok"),
        ({}, "ok"),
    ],
)
def test_a_container_with_a_part_of_a_processor_is_told(
    tmp_path: Path, files: dict[str, str], level: str
) -> None:
    here = machine(tmp_path)
    write(tmp_path, "proc/self/status", "Name:\tx\nCpus_allowed_list:\t0-7\n")
    for path, text in files.items():
        write(tmp_path, path, text)
    finding = check_processors(here)
    assert finding.level == level
    assert level == "ok" or "cpu.max" in finding.sentence


@pytest.mark.parametrize(
    ("files", "level", "words"),
    [
        ({}, "ok", "no limit"),
        ({"memory.max": "max\n"}, "ok", "no limit"),
        ({"memory.max": f"{512 << 20}\n"}, "ok", "may hold 512 MB, an engine takes up to 320"),
        ({"memory.max": f"{256 << 20}\n"}, "warn", "may hold 256 MB"),
        ({"a/memory.max": f"{32 << 20}", "a/b/memory.max": "max"}, "warn", "may hold 32 MB"),
        (
            {"a/memory.max": f"{512 << 20}", "a/b/memory.max": f"{128 << 20}"},
            "warn",
            "may hold 128 MB",
        ),
    ],
)
def test_a_container_with_little_memory_is_told(
    tmp_path: Path, files: dict[str, str], level: str, words: str
) -> None:
    here = machine(tmp_path)
    write(tmp_path, "proc/self/cgroup", "0::/a/b\n")
    for path, text in files.items():
        write(tmp_path, f"sys/fs/cgroup/{path}", text)
    finding = check_memory(here)
    assert (finding.level, words in finding.sentence) == (level, True)
    assert level == "ok" or "memory.max" in finding.sentence


def test_hugepages_that_a_container_may_not_have_are_none(tmp_path: Path) -> None:
    here = machine(tmp_path, hugepages=512)
    assert (check_hugepages(here).level, best_rung(here).name) == ("ok", "virtio")
    write(tmp_path, "sys/fs/cgroup/hugetlb.2MB.current", f"{512 << 20}\n")
    write(tmp_path, "sys/fs/cgroup/hugetlb.2MB.max", f"{512 << 20}\n")
    finding = check_hugepages(here)
    assert (finding.level, finding.command) == ("missing", None)
    assert "hugetlb.2MB.max" in finding.sentence
    assert best_rung(here).name == "af_packet"
    write(tmp_path, "sys/fs/cgroup/hugetlb.2MB.max", "max\n")
    assert check_hugepages(here).level == "ok"


def test_saving_governor_is_named(tmp_path: Path) -> None:
    here = machine(tmp_path)
    assert check_governor(here).level == "ok"
    write(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n")
    assert "powersave" in check_governor(here).sentence


@pytest.mark.parametrize(
    ("driver", "words"),
    [("vfio-pci", "ready"), ("mlx5_core", "beside the kernel"), ("ena", "give it away")],
)
def test_cards_and_who_drives_them(tmp_path: Path, driver: str, words: str) -> None:
    device = tmp_path / "sys/bus/pci/devices/0000:00:05.0"
    write(tmp_path, "sys/bus/pci/devices/0000:00:05.0/class", "0x020000\n")
    write(tmp_path, "sys/bus/pci/devices/0000:00:06.0/class", "0x010000\n")  # a disk
    (tmp_path / driver).mkdir()
    (device / "driver").symlink_to(tmp_path / driver)
    (finding,) = check_cards(machine(tmp_path))
    assert finding.name == "card 0000:00:05.0"
    assert words in finding.sentence


@pytest.mark.parametrize(
    ("release", "version"),
    [("6.1.0-13-amd64", (6, 1)), ("5.4", (5, 4)), ("generic", (0, 0)), ("", (0, 0))],
)
def test_kernel_release(release: str, version: tuple[int, int]) -> None:
    assert parse_kernel(release) == version


def test_this_machine_can_at_least_speak_udp() -> None:
    here = Machine.here()
    names = [finding.name for finding in examine(here)]
    assert len(names) == len(set(names))
    assert "udp" in here.drivers
    assert rungs(here)[-1].possible
