"""Fuzzes the parsers: `python -m tests.fuzz.run --seconds 60`, or from the smoke tests.

A target is a fuzz_*.c beside this file. What libFuzzer finds interesting is kept in
build/fuzz/corpus/<target> for the next run; a failing input is left there as crash-*.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from tests.c_builds import FUZZ, FUZZ_GCC, CBuild, run_program
from tests.fuzz import seeds

FOLDER = Path(__file__).parent
TARGETS = sorted(path.stem for path in FOLDER.glob("fuzz_*.c"))
INPUT_BYTES_MAX = 4096


def usable_build() -> CBuild:
    """The build with libFuzzer, or where there is no clang the one without."""
    return FUZZ if FUZZ.lacks() is None else FUZZ_GCC


def fuzz(target: str, limits: list[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Builds a target and runs it within libFuzzer's `limits`, such as -runs=1000."""
    build = usable_build()
    program = build.program(f"tests/fuzz/{target}")
    corpus = build.folder / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    seeds.write(target, corpus)
    argv = [str(program), *limits]
    if build is FUZZ:
        argv += [f"-max_len={INPUT_BYTES_MAX}", f"-artifact_prefix={corpus}/", str(corpus)]
    else:
        argv += map(str, sorted(corpus.glob("seed-*")))
    return run_program(argv, timeout_s)


def main() -> int:
    """Fuzzes every target for the time asked for; 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    seconds: int = parser.parse_args().seconds
    if FUZZ.lacks() is not None:
        print(f"fuzz: {FUZZ.lacks()}", file=sys.stderr)
        return 1
    failed = False
    for target in TARGETS:
        print(f"fuzz: {target} for {seconds} s", flush=True)
        done = fuzz(target, [f"-max_total_time={seconds}"], seconds + 60.0)
        last = done.stdout.strip().splitlines()[-1:]
        print(done.stdout if done.returncode else "".join(last), flush=True)
        failed = failed or done.returncode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
