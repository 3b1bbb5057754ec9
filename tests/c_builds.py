"""Builds of the C core that tests use: with sanitizers, and with libFuzzer.

Each has a folder of its own under build/, made by meson on first use and brought up to date by
ninja after that. Does not know what the programs in it do.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = Path(sys.executable).parent
BUILD_TIMEOUT_S = 600.0
C_ARGS = ("-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
# Debian 12 has several; elsewhere the distribution's own is taken.
CLANG = "clang-14" if shutil.which("clang-14") else "clang"
COVERAGE = {CLANG: ("-fsanitize=fuzzer-no-link",)}  # libFuzzer needs all code to report
SANITIZER_ENVIRONMENT = {
    "ASAN_OPTIONS": "abort_on_error=0:detect_stack_use_after_return=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}


@dataclass(frozen=True, slots=True)
class CBuild:
    """One configuration of the C core, in build/<name>."""

    name: str
    sanitizers: str
    compiler: str = "gcc"
    options: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where meson and ninja work."""
        return ROOT / "build" / self.name

    def lacks(self) -> str | None:
        """What this machine has not got for this build, as a sentence; None: nothing."""
        if shutil.which(self.compiler) is None:
            return f"{self.compiler} is not installed"
        if "-Dunit_tests=enabled" in self.options and not has_library("cmocka"):
            return "libcmocka-dev is not installed"
        return None

    def program(self, target: str) -> Path:
        """Brings one program of this build up to date; `target` is its path in the build folder.

        Errors: AssertionError with the tools' output.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # several test runs may share the checkout
            if not (self.folder / "build.ninja").exists():
                setup = [str(TOOLS / "meson"), "setup", str(self.folder), *self._setup()]
                _run(setup, self.compiler)
            _run([str(TOOLS / "ninja"), "-C", str(self.folder), target], self.compiler)
        return self.folder / target

    def _setup(self) -> list[str]:
        return [
            "-Dextension=false",
            f"-Db_sanitize={self.sanitizers}",
            "-Db_lundef=false",
            f"-Dc_args={' '.join(C_ARGS + COVERAGE.get(self.compiler, ()))}",
            *self.options,
        ]


ADDRESS = CBuild("asan", "address,undefined", options=("-Dunit_tests=enabled",))
THREAD = CBuild("tsan", "thread", options=("-Dunit_tests=enabled", "-Ddpdk=disabled"))
COVERED = CBuild(
    "coverage",
    "none",
    options=("-Dunit_tests=enabled", "-Ddpdk=disabled", "-Db_coverage=true", "-Doptimization=0"),
)
RELEASE = CBuild(
    "release",
    "none",
    options=(
        *("-Dunit_tests=enabled", "-Ddpdk=disabled", "-Db_lto=true"),
        *("-Doptimization=3", "-Ddebug=false"),
    ),
)
# For counting instructions: each stays with the source file that it was written in.
LEDGER = CBuild(
    "ledger",
    "none",
    options=("-Dunit_tests=enabled", "-Ddpdk=disabled", "-Doptimization=2", "-Ddebug=true"),
)
# As it ships, but that copies of unknown length stay calls of memcpy.
PLAIN = CBuild(
    "plain", "none", options=("-Ddpdk=disabled", "-Dc_args=-mmemcpy-strategy=libcall:-1:noalign")
)
# Applications as they are, and an engine that reports what it does wrong.
TENANTS = CBuild("tenants", "none", options=("-Dtenants=enabled", "-Ddpdk=disabled"))
ENGINE = CBuild("asan-engine", "address,undefined", options=("-Dextension=true", "-Ddpdk=disabled"))
FUZZ = CBuild("fuzz", "address,undefined", CLANG, ("-Dfuzz=enabled", "-Ddpdk=disabled"))
# Where there is no clang: the same targets under gcc with tests/fuzz/standalone.c.
FUZZ_GCC = CBuild("fuzz-gcc", "address,undefined", options=("-Dfuzz=enabled", "-Ddpdk=disabled"))


def run_program(
    argv: list[str], timeout_s: float, folder: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Runs a program of a build to its end; its stdout and stderr come back as one text.

    Errors: subprocess.TimeoutExpired, after the program was killed.
    """
    return subprocess.run(
        argv,
        check=False,
        cwd=folder,
        env=os.environ | SANITIZER_ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=timeout_s,
    )


def has_library(name: str) -> bool:
    found = subprocess.run(["pkg-config", "--exists", name], check=False)
    return found.returncode == 0


def _run(argv: list[str], compiler: str) -> None:
    path = f"{TOOLS}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    done = subprocess.run(
        argv,
        check=False,
        cwd=ROOT,
        env=os.environ | {"CC": compiler, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_TIMEOUT_S,
    )
    assert done.returncode == 0, f"{' '.join(argv)}\n{done.stdout}"
