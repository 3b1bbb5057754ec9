"""What this machine has for fast packets, what it lacks, and the command that mends it.

Looks and changes nothing. Each check is a function of a `Machine`, which tests make up.
"""

import os
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from transport_engine.config import EngineConfig
from transport_engine.machine import MEGABYTE, Finding, Level, Machine

HUGEPAGES_MB_MIN: Final = 128  # what one engine over DPDK takes, and some room
OPEN_FILES_MIN: Final = 1024
PROCESSORS_MIN: Final = 2
KERNEL_PEER_PIDFD: Final = (6, 5)
KERNEL_AF_XDP: Final = (5, 4)  # AF_XDP sockets may sleep and wake, veth has native XDP
CAPABILITIES: Final = {
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_IPC_LOCK": 14,
    "CAP_SYS_ADMIN": 21,
}
USERSPACE_DRIVERS: Final = ("vfio-pci", "igb_uio", "uio_pci_generic")
BIFURCATED_DRIVERS: Final = ("mlx4_core", "mlx5_core", "mana")  # DPDK drives them beside the kernel
NETWORK_CLASS: Final = "0x02"
ENGINE_MB: Final = 64  # beside its pool; docs/how-to/deploy.md


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to join two engines on one machine."""

    name: str
    possible: bool
    why: str


def examine(machine: Machine) -> tuple[Finding, ...]:
    """All findings, in the order in which one would mend them."""
    return (
        check_drivers(machine),
        check_hugepages(machine),
        check_memory(machine),
        check_capabilities(machine),
        check_memlock(machine),
        check_open_files(machine),
        check_kernel(machine),
        check_identity(machine),
        check_sidecar(machine),
        check_processors(machine),
        check_governor(machine),
        *check_cards(machine),
        check_virtio(machine),
        check_af_xdp(machine),
        check_rung(machine),
    )


def check_drivers(machine: Machine) -> Finding:
    """Which packet drivers this build of the engine has."""
    listed = ", ".join(sorted(machine.drivers))
    if "dpdk" in machine.drivers:
        return Finding("drivers", "ok", f"this build has {listed}")
    return Finding(
        "drivers",
        "missing",
        f"this build has {listed}, but no dpdk: build it again, in a checkout",
        "apt-get install libdpdk-dev && pip install --force-reinstall --no-deps .",
    )


def check_hugepages(machine: Machine) -> Finding:
    """Whether memory is set aside for DPDK."""
    free_mb = machine.free_hugepages_mb()
    quota_mb = machine.hugepages_quota_mb()
    mounts = [
        line.split()[1] for line in machine.read("proc/mounts").splitlines() if _is_huge(line)
    ]
    where = f"mounted at {mounts[0]}" if mounts else "not mounted, which --in-memory does not need"
    if quota_mb is not None and quota_mb < HUGEPAGES_MB_MIN:
        return Finding(
            "hugepages",
            "missing",
            f"this control group may hold {quota_mb} MB of hugepages more, an engine over dpdk "
            f"takes {HUGEPAGES_MB_MIN}: raise hugetlb.2MB.max, which in Kubernetes is the "
            "container's limit of hugepages-2Mi",
        )
    if free_mb >= HUGEPAGES_MB_MIN:
        return Finding("hugepages", "ok", f"{free_mb} MB of hugepages are free, {where}")
    return Finding(
        "hugepages",
        "missing",
        f"{free_mb} MB of hugepages are free, an engine over dpdk takes {HUGEPAGES_MB_MIN}",
        "sysctl -w vm.nr_hugepages=512",
    )


def check_memory(machine: Machine) -> Finding:
    """What the kernel would kill an engine for; its pool is memory from when it is first used."""
    quota_mb = machine.memory_quota_mb()
    c_config, _ = EngineConfig().into_c()
    wanted_mb = c_config.pool_bytes // MEGABYTE + ENGINE_MB
    if quota_mb is None:
        return Finding("memory", "ok", "this control group has no limit of memory")
    said = f"this control group may hold {quota_mb} MB, an engine takes up to {wanted_mb}"
    if quota_mb >= wanted_mb:
        return Finding("memory", "ok", said)
    return Finding(
        "memory",
        "warn",
        f"{said}, and is killed beyond the limit: raise memory.max, which is the container's limit "
        f"of memory, or lower pool_bytes so that it and {ENGINE_MB} MB have room",
    )


def check_capabilities(machine: Machine) -> Finding:
    """What the kernel lets this process do."""
    lacking = [name for name in CAPABILITIES if not has_capability(machine, name)]
    if not lacking:
        return Finding("capabilities", "ok", "this process may drive devices and lock memory")
    return Finding(
        "capabilities",
        "warn",
        f"this process lacks {', '.join(lacking)}: the udp driver needs none, dpdk does",
        "sudo mrpc engine",
    )


def check_memlock(machine: Machine) -> Finding:
    """Devices write to memory that must stay where it is."""
    limit = machine.memlock_bytes
    if limit is None or has_capability(machine, "CAP_IPC_LOCK"):
        return Finding("memlock", "ok", "memory may be locked without a limit that matters")
    wanted = HUGEPAGES_MB_MIN * MEGABYTE
    return Finding(
        "memlock",
        "ok" if limit >= wanted else "warn",
        f"{limit // 1024} KB of memory may be locked; af_xdp and vfio lock what they use",
        None if limit >= wanted else "ulimit -l unlimited",
    )


def check_open_files(machine: Machine) -> Finding:
    """Each listener and each application costs an engine some descriptors."""
    limit = machine.open_files
    enough = limit is None or limit >= OPEN_FILES_MIN
    return Finding(
        "open files",
        "ok" if enough else "warn",
        f"a process may have {'any number of' if limit is None else limit} files open",
        None if enough else f"ulimit -n {OPEN_FILES_MIN}",
    )


def check_kernel(machine: Machine) -> Finding:
    """Age of the kernel."""
    version = ".".join(map(str, machine.kernel))
    if machine.kernel >= KERNEL_AF_XDP:
        return Finding("kernel", "ok", f"Linux {version}")
    return Finding("kernel", "warn", f"Linux {version} is too old for af_xdp, which needs 5.4")


def check_identity(machine: Machine) -> Finding:
    """Whether a policy's tenants are the processes that they were when they attached."""
    if machine.kernel >= KERNEL_PEER_PIDFD:
        return Finding("identity", "ok", "a channel ends with the process that attached")
    return Finding(
        "identity",
        "warn",
        "before Linux 6.5 a channel ends with its socket, which a process may hand to another: "
        "give each tenant of a policy a user of its own",
    )


def check_sidecar(machine: Machine) -> Finding:
    """Whether this user gets at a sidecar, $MRPC_SOCKET's or root's; the rest is its policy's."""
    chosen = machine.chosen_socket
    place = chosen or machine.root / "run/machnet/engine.sock"
    if (machine.is_root and chosen is None) or os.access(place, os.R_OK | os.W_OK):
        return Finding("sidecar", "ok", f"this user may connect to {place}, if an engine is there")
    if chosen is not None:
        return _without_chosen(chosen)
    if not place.parent.exists():
        return Finding("sidecar", "ok", "root runs no sidecar here", None)
    return Finding(
        "sidecar",
        "warn",
        f"this user may not open {place}: it has to be in the group of that folder, which is "
        "control.group in the engine's configuration, and in its [[tenants]]",
        f"usermod --append --groups $(stat --format %G {place.parent}) $USER",
    )


def _without_chosen(place: Path) -> Finding:
    try:
        place.lstat()
    except FileNotFoundError:
        command = f"mrpc engine --socket {shlex.quote(str(place))}"
        return Finding("sidecar", "warn", f"MRPC_SOCKET names {place}, which is not there", command)
    except OSError:  # a folder on the way is closed, or none
        pass
    who = "control.group in the engine's configuration, and the folders above it, say who may"
    return Finding("sidecar", "warn", f"this user may not open MRPC_SOCKET's {place}: {who}")


def check_processors(machine: Machine) -> Finding:
    """An engine that polls wants a processor of its own."""
    quota = machine.cpu_quota()
    if quota is not None and quota < PROCESSORS_MIN:
        return Finding(
            "processors",
            "warn",
            f"this control group has {quota:.2g} processors' time: what uses it up stands still "
            "until its next period. Raise cpu.max, which is the container's limit of CPU",
        )
    count = machine.processors()
    if count >= PROCESSORS_MIN:
        return Finding("processors", "ok", f"{count} processors")
    return Finding(
        "processors", "warn", "one processor: the engine and the application take turns on it"
    )


def check_governor(machine: Machine) -> Finding:
    """A processor that slows down when idle shows in the tail."""
    governor = machine.read("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if governor in {"", "performance"}:
        return Finding(
            "governor", "ok", governor or "the host decides on the processors' frequency"
        )
    return Finding(
        "governor",
        "warn",
        f"the frequency governor is {governor}: waking takes longer",
        "cpupower frequency-set -g performance",
    )


def check_cards(machine: Machine) -> tuple[Finding, ...]:
    """Each network card on PCI and who drives it."""
    devices = sorted((machine.root / "sys/bus/pci/devices").glob("*"))
    cards = [
        device
        for device in devices
        if machine.read(f"sys/bus/pci/devices/{device.name}/class").startswith(NETWORK_CLASS)
    ]
    if not cards:
        return (
            Finding("cards", "ok", "no network card on PCI; virtual ones serve on one machine"),
        )
    return tuple(_check_card(card) for card in cards)


def check_virtio(machine: Machine) -> Finding:
    """Two processes joined by shared rings: net_vhost and net_virtio_user."""
    rung = virtio_rung(machine)
    return Finding("virtio pair", "ok" if rung.possible else "warn", rung.why)


def check_af_xdp(machine: Machine) -> Finding:
    """A kernel interface's packets past the kernel's stack."""
    rung = af_xdp_rung(machine)
    return Finding("af_xdp", "ok" if rung.possible else "warn", rung.why)


def check_rung(machine: Machine) -> Finding:
    """The fastest way between two engines on this machine."""
    best = best_rung(machine)
    level: Level = "warn" if best.name == "udp" else "ok"
    return Finding("best rung", level, f"{best.name}: {best.why}")


def rungs(machine: Machine) -> tuple[Rung, ...]:
    """Ways to join two engines on one machine, the fastest first."""
    return (
        virtio_rung(machine),
        _hugepage_rung(machine, "memif", ("net_memif",), "shared memory between two processes"),
        af_xdp_rung(machine),
        af_packet_rung(machine),
        Rung("udp", possible=True, why="kernel sockets need no privilege"),
    )


def best_rung(machine: Machine) -> Rung:
    """The first that is possible."""
    return next(rung for rung in rungs(machine) if rung.possible)


def virtio_rung(machine: Machine) -> Rung:
    """net_vhost and net_virtio_user."""
    names = ("net_vhost", "net_virtio")
    return _hugepage_rung(machine, "virtio", names, "virtio rings between two processes")


def af_xdp_rung(machine: Machine) -> Rung:
    """net_af_xdp on a veth between network namespaces."""
    if machine.kernel < KERNEL_AF_XDP:
        return Rung("af_xdp", possible=False, why="the kernel is older than 5.4")
    if not has_capability(machine, "CAP_NET_ADMIN"):
        return Rung("af_xdp", possible=False, why="it needs CAP_NET_ADMIN")
    return _hugepage_rung(machine, "af_xdp", ("net_af_xdp",), "XDP sockets on a veth pair")


def af_packet_rung(machine: Machine) -> Rung:
    """net_af_packet on a veth between network namespaces."""
    lacking = _lacking_drivers(machine, ("net_af_packet",))
    if lacking is None and not has_capability(machine, "CAP_NET_RAW"):
        lacking = "it needs CAP_NET_RAW"
    why = "packet sockets on a veth pair, without hugepages" if lacking is None else lacking
    return Rung("af_packet", possible=lacking is None, why=why)


def has_capability(machine: Machine, name: str) -> bool:
    """Whether the capability is in this process's effective set."""
    found = re.search(r"^CapEff:\s*([0-9a-f]+)", machine.read("proc/self/status"), re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> CAPABILITIES[name] & 1)


def _hugepage_rung(machine: Machine, name: str, drivers: tuple[str, ...], what: str) -> Rung:
    lacking = _lacking_drivers(machine, drivers)
    quota_mb = machine.hugepages_quota_mb()
    if lacking is None and quota_mb is not None and quota_mb < 2 * HUGEPAGES_MB_MIN:
        lacking = f"this control group may hold {quota_mb} MB of hugepages more"
    if lacking is None and machine.free_hugepages_mb() < 2 * HUGEPAGES_MB_MIN:
        if not machine.is_root:
            lacking = "hugepages: sysctl -w vm.nr_hugepages=512 (as root)"
        else:
            what += ", once hugepages are reserved"
    return Rung(name, possible=lacking is None, why=what if lacking is None else lacking)


def _lacking_drivers(machine: Machine, names: tuple[str, ...]) -> str | None:
    if "dpdk" not in machine.drivers:
        return "this build has no dpdk"
    missing = [name for name in names if not machine.has_dpdk_driver(name)]
    return f"DPDK's {' and '.join(missing)} is not installed" if missing else None


def _check_card(card: Path) -> Finding:
    driver = (card / "driver").resolve().name if (card / "driver").exists() else "no driver"
    name = f"card {card.name}"
    if driver in USERSPACE_DRIVERS:
        return Finding(name, "ok", f"bound to {driver}, ready for dpdk")
    if driver in BIFURCATED_DRIVERS:
        return Finding(name, "ok", f"{driver}: dpdk drives it beside the kernel")
    return Finding(
        name,
        "ok",
        f"belongs to {driver}; dpdk takes it if you give it away, and the kernel then loses it",
        f"dpdk-devbind.py --bind=vfio-pci {card.name}" if shutil.which("dpdk-devbind.py") else None,
    )


def _is_huge(line: str) -> bool:
    words = line.split()
    return len(words) > 2 and words[2] == "hugetlbfs"
