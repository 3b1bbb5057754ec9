"""The memory orders of shm/, checked on the real code over every run that C11 allows.

csrc/shm/orders/ compiles the files of shm/ with its own atomics and walks every interleaving of two
threads and every store that a load may return. As the code is, nothing races and nobody sleeps for
ever; with one order weakened, or two steps exchanged, a run shows what it is for.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.sim.variants import Mutation
from tests.tidy.tree import ROOT

CSRC = ROOT / "transport_engine/csrc"
EXPLORER = Path(__file__).parent / "csrc/shm/orders"
UNDER_TEST = (
    "attachment", "channel", "command_ring", "doorbell", "end", "far_copy", "mapping",
    "memory", "starts", "starts_file", "pair", "record", "ring",
)  # fmt: skip
FLAGS = ("-std=c11", "-O1", "-D_GNU_SOURCE=", "-Wall", "-Werror", f"-I{EXPLORER}", f"-I{CSRC}")
TIMEOUT_S = 120.0
RUNS_MIN = {"ring": 900, "commands": 500, "records": 4000, "replies": 4000, "room": 4000}

READ_RACES = "a read races with the write before it"
WRITE_RACES = "a write races with the read before it"
SLEEPS = "a thread sleeps, and nobody will wake it"
BROKEN = (
    (
        READ_RACES,
        Mutation(
            "publish_relaxed",
            "shm/ring.c",
            "ring->position, memory_order_release)",
            "ring->position, memory_order_relaxed)",
        ),
    ),
    (
        READ_RACES,
        Mutation(
            "look_relaxed",
            "shm/ring.c",
            "ring->peer_shared, memory_order_acquire)",
            "ring->peer_shared, memory_order_relaxed)",
        ),
    ),
    (
        SLEEPS,
        Mutation(
            "no_fence_after_arm",
            "shm/doorbell.c",
            "check of the rings. */\n    atomic_thread_fence(memory_order_seq_cst);",
            "check of the rings. */",
        ),
    ),
    (
        SLEEPS,
        Mutation(
            "no_fence_before_look",
            "shm/doorbell.c",
            "the look at `armed`. */\n    atomic_thread_fence(memory_order_seq_cst);",
            "the look at `armed`. */",
        ),
    ),
    (
        READ_RACES,
        Mutation(
            "record_after_position",
            "shm/attachment.c",
            "    memcpy(at, record, sizeof *record);\n"
            "    if (record->size_bytes != 0) {\n"
            "        far_copy(at + sizeof *record, payload, record->size_bytes);\n"
            "    }\n"
            "    ring_advance(out, stride);\n",
            "    ring_advance(out, stride);\n"
            "    ring_publish(out);\n"
            "    memcpy(at, record, sizeof *record);\n"
            "    far_copy(at + sizeof *record, payload, record->size_bytes);\n",
        ),
    ),
    (
        READ_RACES,
        Mutation(
            "reply_after_position",
            "shm/channel.c",
            "    return (struct te_record *)(void *)ring_cursor(out);\n",
            "    uint8_t *at = ring_cursor(out);\n"
            "    ring_advance(out, stride);\n"
            "    ring_publish(out);\n"
            "    out->position -= stride;\n"
            "    return (struct te_record *)(void *)at;\n",
        ),
    ),
    (
        WRITE_RACES,
        Mutation(
            "command_given_up_before_it_is_copied",
            "shm/command_ring.c",
            "    memcpy(item, item_at(spsc, head), spsc->item_bytes);\n"
            "    atomic_store_explicit(&spsc->head, head + 1, memory_order_release);\n",
            "    atomic_store_explicit(&spsc->head, head + 1, memory_order_release);\n"
            "    memcpy(item, item_at(spsc, head), spsc->item_bytes);\n",
        ),
    ),
    (
        WRITE_RACES,
        Mutation(
            "command_head_relaxed",
            "shm/command_ring.c",
            "head + 1, memory_order_release)",
            "head + 1, memory_order_relaxed)",
        ),
    ),
    (
        READ_RACES,
        Mutation(
            "command_tail_relaxed",
            "shm/command_ring.c",
            "tail + 1, memory_order_release)",
            "tail + 1, memory_order_relaxed)",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Explorer:
    """Objects of the files under test, kept in a folder; each variant compiles one of them anew."""

    folder: Path

    def run(self, mutation: Mutation | None = None) -> subprocess.CompletedProcess[str]:
        """Walks every scenario, with or without a mistake in the code."""
        sources = {f"shm/{name}.c": CSRC / f"shm/{name}.c" for name in UNDER_TEST}
        if mutation is not None:
            text = sources[mutation.file].read_text(encoding="utf-8")
            assert text.count(mutation.right) == 1, f"{mutation.file} has changed: {mutation.name}"
            sources[mutation.file] = self.folder / f"{mutation.name}.c"
            sources[mutation.file].write_text(text.replace(mutation.right, mutation.wrong))
        shim = ["-include", str(EXPLORER / "atomics.h")]
        objects = [self._object(source, shim) for source in sources.values()]
        objects.append(self._object(EXPLORER / "scenarios.c", shim))
        objects.append(self._object(EXPLORER / "explore.c", []))
        program = self.folder / (mutation.name if mutation else "as_it_is")
        self._gcc([*map(str, objects), "-o", str(program)])
        return subprocess.run(
            [str(program)],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
        )

    def _object(self, source: Path, shim: list[str]) -> Path:
        target = self.folder / f"{source.stem}.o"
        if not target.exists():
            self._gcc([*shim, "-c", str(source), "-o", str(target)])
        return target

    @staticmethod
    def _gcc(arguments: list[str]) -> None:
        done = subprocess.run(
            ["gcc", *FLAGS, *arguments], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def explorer(tmp_path_factory: pytest.TempPathFactory) -> Explorer:
    return Explorer(tmp_path_factory.mktemp("orders"))


def test_no_run_races_or_sleeps_for_ever(explorer: Explorer) -> None:
    done = explorer.run()
    assert done.returncode == 0, done.stdout
    runs = {
        name: int(count.split()[0])
        for name, count in (line.split(": ") for line in done.stdout.splitlines())
    }
    assert runs.keys() == RUNS_MIN.keys()
    assert all(runs[name] >= RUNS_MIN[name] for name in runs), runs


@pytest.mark.parametrize(("sentence", "mutation"), BROKEN, ids=[each.name for _, each in BROKEN])
def test_a_weaker_order_is_found(explorer: Explorer, sentence: str, mutation: Mutation) -> None:
    done = explorer.run(mutation)
    assert done.returncode == 1, done.stdout
    assert sentence in done.stdout
