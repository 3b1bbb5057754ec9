"""The simulator built otherwise: by another compiler, with other flags, or with a bug planted.

Each build is a shared library of the pure layers and the simulator alone, in a folder of the
caller's. It speaks through the same headers as the extension, in whose place it is put, in a
process of its own.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cffi

from tests.c_builds import SANITIZER_ENVIRONMENT
from tests.sim import swarm
from transport_engine import network, simulator
from transport_engine.ffi_build import definitions

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | SANITIZER_ENVIRONMENT | {"ASAN_OPTIONS": "detect_leaks=0"}  # Python's
CSRC = ROOT / "transport_engine/csrc"
LAYERS = ("base", "flow", "sim")
HEADERS = ("transport_engine.h", "transport_sim.h")
CHECK_HOOK = """\
#include <stdlib.h>
#include "base/check.h"
_Noreturn void te_check_failed(const char *claim, const char *file, int line) {
    (void)claim, (void)file, (void)line;
    abort();
}
const char *te_error_name(int error);
const char *te_error_name(int error) { (void)error; return "error"; }
"""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One bug: a place in a source file or a header, and what stands there instead."""

    name: str
    file: str
    right: str
    wrong: str


@dataclass(frozen=True, slots=True)
class Library:
    """A build; a process that opens it must have loaded `preload` from its start."""

    path: Path
    preload: str = ""

    def run(
        self, module: str, *arguments: str, timeout_s: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs a module with the library's path and some arguments.

        Errors: subprocess.TimeoutExpired, after it was killed.
        """
        argv = [sys.executable, "-m", module, str(self.path), *arguments]
        environment = ENVIRONMENT | ({"LD_PRELOAD": self.preload} if self.preload else {})
        return subprocess.run(
            argv,
            check=False,
            capture_output=True,
            cwd=ROOT,
            env=environment,
            text=True,
            timeout=timeout_s,
        )


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A compiler and its flags; objects are kept in a folder and used again."""

    folder: Path
    compiler: str = "gcc"
    flags: tuple[str, ...] = ("-O1",)

    def library(self, mutation: Mutation | None = None) -> Library:
        """A library with or without a bug."""
        self.folder.mkdir(parents=True, exist_ok=True)
        objects = [self._object(source) for source in self._sources()]
        if mutation is not None:
            overlay = self._overlay(mutation)
            objects = [self._mutated(each, mutation, overlay) for each in objects]
        hook = self.folder / "hook.c"
        if not hook.exists():  # several threads may build variants, once there is a right one
            hook.write_text(CHECK_HOOK, encoding="utf-8")
        target = self.folder / f"{mutation.name if mutation else 'right'}.so"
        self._run(["-shared", "-o", str(target), f"-I{CSRC}", str(hook), *map(str, objects)])
        return Library(target, self._preload())

    def _preload(self) -> str:
        """The runtime that must come before all others, or nothing."""
        if not any("address" in flag for flag in self.flags if flag.startswith("-fsanitize=")):
            return ""
        argv = [self.compiler, "-print-file-name=libasan.so"]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    def _sources(self) -> list[Path]:
        return sorted(path for layer in LAYERS for path in (CSRC / layer).glob("*.c"))

    def _object(self, source: Path) -> Path:
        name = source.relative_to(CSRC).as_posix().replace("/", "_")
        target = (self.folder / name).with_suffix(".o")
        if not target.exists():
            self._run([f"-I{CSRC}", "-MMD", "-c", str(source), "-o", str(target)])
        return target

    def _overlay(self, mutation: Mutation) -> Path:
        """A folder with the mutated file alone, in its layer."""
        text = (CSRC / mutation.file).read_text(encoding="utf-8")
        assert text.count(mutation.right) == 1, f"{mutation.file} has changed: {mutation.name}"
        folder = self.folder / mutation.name
        (folder / mutation.file).parent.mkdir(parents=True, exist_ok=True)
        wrong = text.replace(mutation.right, mutation.wrong)
        (folder / mutation.file).write_text(wrong, encoding="utf-8")
        return folder

    def _mutated(self, right: Path, mutation: Mutation, overlay: Path) -> Path:
        """The same object if it has nothing to do with the mutated file, or one with the bug."""
        names = right.with_suffix(".d").read_text(encoding="utf-8").replace("\\\n", " ").split()[1:]
        if str(CSRC / mutation.file) not in names:
            return right
        source = overlay / mutation.file if names[0].endswith(mutation.file) else Path(names[0])
        target = overlay / right.name
        self._run([f"-I{overlay}", f"-I{CSRC}", "-c", str(source), "-o", str(target)])
        return target

    def _run(self, arguments: list[str]) -> None:
        argv = [self.compiler, "-std=c11", "-fPIC", *self.flags, *arguments]
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def swarm_with(library: Library, seeds: range) -> list[dict[str, Any]]:
    """The answers of swarm seeds from a process that uses that library, up to the first failure.

    A broken assertion ends the process, and counts as a failure, too.
    """
    done = library.run("tests.sim.variants", str(seeds.start), str(seeds.stop))
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode != 0:
        answers.append({"verdict": "fail", "violations": [{"kind": done.stderr}]})
    return answers


def put_in_place(library: Path) -> None:
    """Puts a library in the extension's place."""
    ffi = cffi.FFI()
    for header in HEADERS:
        ffi.cdef(definitions((CSRC / header).read_text(encoding="utf-8")))
    lib = ffi.dlopen(str(library))
    for module in (simulator, network):
        vars(module).update(ffi=ffi, lib=lib)


def _main(library: Path, seeds: range) -> None:
    put_in_place(library)
    for seed in seeds:
        answer = simulator.run(swarm.scenario(seed))
        kept = {key: answer[key] for key in ("seed", "verdict", "digest", "violations")}
        print(json.dumps(kept), flush=True)
        if answer["verdict"] != "pass":
            return


if __name__ == "__main__":
    _main(Path(sys.argv[1]), range(int(sys.argv[2]), int(sys.argv[3])))
