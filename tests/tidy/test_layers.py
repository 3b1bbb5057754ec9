"""Folders are layers: who may include whom, who may be impure, who may use atomics and DPDK."""

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.c_builds import CLANG
from tests.tidy import c_code, tree
from tests.tidy.tree import ROOT, File

CSRC = Path("transport_engine/csrc")
# What each layer may include besides itself and transport_engine.h.
LAYERS = {
    "base": set[str](),
    "flow": {"base"},
    "ip": {"base"},
    "shm": {"base"},
    "netif": {"base", "ip"},
    "engine": {"base", "flow", "ip", "shm", "netif"},
    "msggen": set[str](),
    "process": set[str](),
    "sim": {"base", "flow"},
}
INTERFACES = {"netif/netif.h"}  # shapes of what crosses a border, without code
PURE = ("base", "flow", "ip")
PURE_IMPORTS = re.compile(
    r"mem(cpy|move|set|cmp|chr)|__mem(cpy|move|set)_chk|bcmp|te_check_failed"
    r"|__stack_chk_fail"
    r"|__cpu_(model|indicator_init)|_GLOBAL_OFFSET_TABLE_"  # of the compiler, not of a library
)
INCLUDE = re.compile(r'^#include [<"]([^>"]+)[>"]', re.MULTILINE)
ATOMIC = re.compile(r"\b(_Atomic|atomic_\w+|__atomic_\w+|__sync_\w+)\b")
OBJECTS = ROOT / "build/native/transport_engine/csrc/libte.a.p"
C_FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
SANS_IO = ROOT / "machnet_rpc/_protocol"
IO_MODULES = {
    "anyio", "asyncio", "datetime", "os", "random", "secrets", "select", "selectors", "socket",
    "threading", "time", "uvloop",
}  # fmt: skip


def c_files() -> list[File]:
    return list(tree.matching(".c", ".h", under=CSRC.as_posix()))


def layer(file: File) -> str:
    return file.path.relative_to(CSRC).parts[0]


def test_layers_include_only_what_lies_below() -> None:
    wrong: list[str] = []
    for file in c_files():
        allowed = LAYERS.get(layer(file), set[str]()) | {layer(file)}
        above = LAYERS.keys() - allowed
        names = [name for name in INCLUDE.findall(file.text) if "/" in name]
        names = [name for name in names if name not in INTERFACES]
        wrong += [f"{file} includes {name}" for name in names if name.split("/")[0] in above]
    assert not wrong, "\n".join(wrong)


def test_the_architecture_page_has_the_same_table() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \| (yes|no) \|$", page, re.MULTILINE)
    assert {name: set(re.findall(r"`(\w+)`", below)) for name, below, _ in rows} == LAYERS
    assert tuple(name for name, _, is_pure in rows if is_pure == "yes") == PURE


def test_only_shm_uses_atomics() -> None:
    others = [file for file in c_files() if layer(file) != "shm"]
    users = [str(file) for file in others if ATOMIC.search(c_code.without_comments(file.text))]
    assert not users, "\n".join(users)


def test_only_the_dpdk_driver_includes_dpdk() -> None:
    users = {
        file.path.relative_to(CSRC).as_posix()
        for file in c_files()
        if any(Path(name).name.startswith("rte_") for name in INCLUDE.findall(file.text))
    }
    assert not {user for user in users if not user.startswith("netif/dpdk")}


@pytest.mark.parametrize(
    "header", [file for file in c_files() if file.path.suffix == ".h"], ids=str
)
def test_header_compiles_alone(header: File) -> None:
    compiled = subprocess.run(
        ["gcc", *C_FLAGS, f"-I{CSRC}", "-fsyntax-only", "-x", "c", "-"],
        check=False,
        cwd=ROOT,
        input=f'#include "{header.path.relative_to(CSRC)}"\n',
        stderr=subprocess.PIPE,
        text=True,
    )
    assert compiled.returncode == 0, compiled.stderr


def test_pure_layers_call_nothing_outside() -> None:
    objects = [path for path in OBJECTS.glob("*.o") if path.name.split("_")[0] in PURE]
    assert objects, "make build first"
    assert not _called_outside(objects)


@pytest.mark.parametrize("compiler", ["gcc", CLANG])
@pytest.mark.parametrize("level", ["-O0", "-O2"])
def test_no_compiler_adds_a_call(compiler: str, level: str, tmp_path: Path) -> None:
    """What a compiler makes of the same source may call what the source does not."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    sources = [file for file in c_files() if layer(file) in PURE and file.path.suffix == ".c"]
    paths = [str(ROOT / file.path) for file in sources]
    argv = [compiler, "-std=c11", level, f"-I{ROOT / CSRC}", "-c", *paths]
    subprocess.run(argv, check=True, cwd=tmp_path)
    objects = list(tmp_path.glob("*.o"))
    assert len(objects) == len(sources)
    assert not _called_outside(objects)


def _called_outside(objects: list[Path]) -> set[str]:
    """What the objects call and neither define nor may call."""
    defined = {line.split()[-1] for line in _nm("--defined-only", objects)}
    undefined = {line.split()[-1] for line in _nm("--undefined-only", objects)}
    return {name for name in undefined - defined if not PURE_IMPORTS.fullmatch(name)}


def _nm(which: str, objects: list[Path]) -> list[str]:
    argv = ["nm", which, *map(str, objects)]
    listed = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True)
    return [line for line in listed.stdout.splitlines() if line and not line.endswith(":")]


@pytest.mark.parametrize(
    ("folder", "listed", "glob"),
    [
        (CSRC, r"'(\w+/\w+)\.c'", "*/*.c"),
        (Path("tests/transport_engine/csrc"), r"'(\w+/test_\w+)'", "*/test_*.c"),
        (Path("tests/fuzz"), r"'(fuzz_\w+)'", "fuzz_*.c"),
    ],
    ids=["sources", "tests", "fuzz"],
)
def test_meson_names_every_c_file(folder: Path, listed: str, glob: str) -> None:
    named = set(re.findall(listed, (ROOT / folder / "meson.build").read_text(encoding="utf-8")))
    present = {
        file.path.relative_to(folder).with_suffix("").as_posix()
        for file in tree.matching(".c", under=folder.as_posix())
        if file.path.relative_to(folder).match(glob)
    }
    forgotten = sorted(present - named)
    assert not forgotten, "\n".join(forgotten)


def test_protocol_is_sans_io() -> None:
    imports: list[str] = []
    for file in tree.matching(".py", under=SANS_IO.relative_to(ROOT).as_posix()):
        for node in ast.walk(ast.parse(file.text)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            roots = {name.split(".")[0] for name in names}
            imports += [f"{file} imports {name}" for name in sorted(roots & IO_MODULES)]
    assert not imports, "\n".join(imports)
