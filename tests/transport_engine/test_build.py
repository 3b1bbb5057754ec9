"""The built module has what makes mistakes in it harder to use; read from the file itself."""

import platform
import re
import subprocess
from functools import cache

import pytest

from tests.tidy.tree import ROOT

MODULE = ROOT / "transport_engine/_native.abi3.so"
FORTIFIED = {"memcpy", "memmove", "memset", "snprintf", "fprintf", "poll", "ppoll", "read", "recv"}
FORTIFIED_MIN = 2  # of these; the compiler leaves out those whose sizes it knows to fit


@cache
def readelf(option: str) -> str:
    """What readelf says about the module."""
    argv = ["readelf", "--wide", option, str(MODULE)]
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout


def imports() -> set[str]:
    return set(re.findall(r" UND (\w+)", readelf("--dyn-syms")))


def test_addresses_are_bound_at_the_start_and_then_read_only() -> None:
    assert re.search(r"FLAGS.*BIND_NOW", readelf("--dynamic"))
    assert re.search(r"FLAGS_1.*NOW", readelf("--dynamic"))
    assert "GNU_RELRO" in readelf("--program-headers")


def test_code_can_lie_anywhere() -> None:
    assert "DYN (Shared object file)" in readelf("--file-header")
    assert "TEXTREL" not in readelf("--dynamic")


def test_nothing_is_both_writable_and_executable() -> None:
    segments = re.findall(
        r"^ +(LOAD|GNU_STACK) .* ([R ][W ][E ]) +0x", readelf("--program-headers"), re.MULTILINE
    )
    assert {kind for kind, _ in segments} == {"LOAD", "GNU_STACK"}
    assert not [each for each in segments if "W" in each[1] and "E" in each[1]]
    assert "E" not in dict(segments)["GNU_STACK"]


def test_stacks_are_guarded() -> None:
    assert "__stack_chk_fail" in imports()


def test_copies_of_unknown_size_are_checked() -> None:
    checked = imports() & {f"__{name}_chk" for name in FORTIFIED}
    assert len(checked) >= FORTIFIED_MIN, sorted(imports())


@pytest.mark.skipif(platform.machine() != "x86_64", reason="a feature of x86_64")
def test_jumps_go_to_marked_places_only() -> None:
    # Not the note in the file: the linker drops it beside a C library that was built without.
    argv = ["objdump", "--disassemble=PyInit__native", "--no-show-raw-insn", str(MODULE)]
    code = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout
    assert re.search(r"<PyInit__native>:\n +\w+:\s+endbr64", code)


def test_only_the_door_is_exported() -> None:
    exported = re.findall(r"GLOBAL +DEFAULT +\d+ (\w+)$", readelf("--dyn-syms"), re.MULTILINE)
    assert set(exported) == {"PyInit__native"}
