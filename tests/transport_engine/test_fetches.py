"""The engine fetches each byte of a tenant's memory at most once: seen in the machine code.

So does each end of a pair with what the other end may change.

csrc/shm/fetches/ takes the memory away while the engine works, steps over every instruction that
faults, and counts the bytes that it loads. A field that is checked in one load and used in another
is what a tenant would change in between.
"""

import platform
import re
import subprocess
from pathlib import Path

import pytest

from tests.c_builds import PLAIN, has_library, run_program
from tests.sim.variants import Mutation
from tests.tidy.tree import ROOT

CSRC = ROOT / "transport_engine/csrc"
TRACER = Path(__file__).parent / "csrc/shm/fetches"
TIMEOUT_S = 120.0
# The tracer's own memcpy must not be compiled into a call of memcpy.
FLAGS = ("-std=c11", "-O2", "-Wall", "-Werror", "-D_GNU_SOURCE=", f"-I{CSRC}", f"-I{TRACER}")
NO_BUILTINS = ("-fno-builtin", "-fno-tree-loop-distribute-patterns")
OPERATIONS_MIN = 900
PAIR_OPERATIONS_MIN = 900
QUARANTINED_MIN = 50
TWICE = (
    Mutation(
        "size_checked_in_the_ring",
        "shm/record.c",
        "record_stride_bytes(record->size_bytes) > (uint64_t)available",
        "record_stride_bytes(((const struct te_record *)(const void *)ring_cursor(ring))"
        "->size_bytes) > (uint64_t)available",
    ),
    Mutation(
        "position_read_again",
        "shm/ring.c",
        "ring->peer = seen;",
        "ring->peer = atomic_load_explicit(ring->peer_shared, memory_order_acquire);",
    ),
    Mutation(
        "header_read_again",
        "shm/channel.c",
        "*record = channel->peeked_record;",
        "memcpy(record, ring_cursor(&end->in), sizeof *record);",
    ),
    Mutation(
        "payload_looked_at",
        "engine/sending.c",
        "if (!transfer->has_header) {",
        "if (record->size_bytes > 0 && payload[0] == 0xEE) {\n"
        "        return;\n    }\n    if (!transfer->has_header) {",
    ),
)
TWICE_IN_PAIRS = (
    *TWICE[:2],
    Mutation(
        "payload_sized_in_the_ring",
        "shm/attachment.c",
        "memcpy(payload + filled, ring_cursor(&end->in) + sizeof *record, record->size_bytes);",
        "memcpy(payload + filled, ring_cursor(&end->in) + sizeof *record,\n"
        "               ((struct te_record *)(void *)ring_cursor(&end->in))->size_bytes);",
    ),
)


def trace(
    folder: Path, mutation: Mutation | None = None, tracer: str = "fetches"
) -> subprocess.CompletedProcess[str]:
    """Runs a tracer over the core, one of whose files may have a mistake."""
    if platform.machine() != "x86_64":
        pytest.skip("decodes the instructions of x86-64 only")
    if not has_library("capstone"):
        pytest.skip("libcapstone-dev is not installed")
    library = PLAIN.program("transport_engine/csrc/libte.a")
    objects: list[str] = []
    if mutation is not None:
        text = (CSRC / mutation.file).read_text(encoding="utf-8")
        assert text.count(mutation.right) == 1, f"{mutation.file} has changed: {mutation.name}"
        source = folder / f"{mutation.name}.c"
        source.write_text(text.replace(mutation.right, mutation.wrong), encoding="utf-8")
        objects = [str(source.with_suffix(".o"))]
        compile_c(["-c", str(source), "-o", *objects])
    program = folder / tracer
    source = TRACER / f"{tracer}.c"
    libraries = [str(library), "-lcapstone", "-lsodium"]
    compile_c([*NO_BUILTINS, str(source), *objects, *libraries, "-o", str(program)])
    return run_program([str(program)], TIMEOUT_S)


def compile_c(arguments: list[str]) -> None:
    done = subprocess.run(["gcc", *FLAGS, *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("tracer", "operations_min"),
    [("fetches", OPERATIONS_MIN), ("pair", PAIR_OPERATIONS_MIN)],
)
def test_no_byte_is_fetched_twice(tmp_path: Path, tracer: str, operations_min: int) -> None:
    done = trace(tmp_path, tracer=tracer)
    assert done.returncode == 0, done.stdout
    counts = re.match(r"(\d+) operations, \d+ loads of \d+ bytes, (\d+) quarantined", done.stdout)
    assert counts is not None
    assert int(counts[1]) >= operations_min
    assert int(counts[2]) >= QUARANTINED_MIN


@pytest.mark.parametrize("mutation", TWICE, ids=[each.name for each in TWICE])
def test_a_second_fetch_is_seen(tmp_path: Path, mutation: Mutation) -> None:
    done = trace(tmp_path, mutation)
    assert done.returncode == 1, done.stdout
    assert "is loaded twice" in done.stdout


@pytest.mark.parametrize("mutation", TWICE_IN_PAIRS, ids=[each.name for each in TWICE_IN_PAIRS])
def test_a_second_fetch_by_an_end_of_a_pair_is_seen(tmp_path: Path, mutation: Mutation) -> None:
    done = trace(tmp_path, mutation, "pair")
    assert done.returncode == 1, done.stdout
    assert "is loaded twice" in done.stdout
