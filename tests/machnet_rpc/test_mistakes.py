"""Each mistake is rejected by mypy --strict and by basedpyright, on its line and by its rule."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.machnet_rpc.mistakes import MISTAKES, PREAMBLE

ROOT = Path(__file__).parents[2]
MARK = "  # "


def written(folder: Path, which: str) -> Path:
    """One program of all of them; the line of each is marked by its name."""
    parts = (
        mistake.program(f"{getattr(mistake, which)}{MARK}{mistake.name}") for mistake in MISTAKES
    )
    path = folder / f"{which}.py"
    path.write_text("\n\n\n".join([PREAMBLE, *parts]) + "\n")
    return path


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("mistakes")
    return [written(folder, "wrong"), written(folder, "right")]


def found_in(programs: list[Path], errors: set[tuple[str, int, str]]) -> dict[str, set[str]]:
    """The rules that were broken on each mistake's line; other lines by their number."""
    lines = {path.name: path.read_text().splitlines() for path in programs}
    found: dict[str, set[str]] = {}
    for name, number, rule in errors:
        line = lines[name][number - 1]
        where = line.rpartition(MARK)[2] if MARK in line else f"line {number}: {line}"
        found.setdefault(where if name == "wrong.py" else f"{name}: {where}", set()).add(rule)
    return found


def check(found: dict[str, set[str]], rules: dict[str, str], out: str) -> None:
    """Every mistake is found, by its rule, and nothing else is."""
    assert found.keys() == rules.keys(), out
    assert not {name: found[name] for name, rule in rules.items() if rule not in found[name]}


def run(*argv: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *argv],
        check=False,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
    )
    return done.stdout


def test_there_are_enough_and_no_two_alike() -> None:
    assert len({mistake.name for mistake in MISTAKES}) == len(MISTAKES) >= 24
    assert len({mistake.wrong for mistake in MISTAKES}) == len(MISTAKES)
    assert not [mistake.name for mistake in MISTAKES if mistake.wrong == mistake.right]


def test_mypy_rejects_them(programs: list[Path]) -> None:
    pytest.importorskip("mypy")
    cache = str(programs[0].parent / "cache")
    out = run("mypy", "--strict", "--cache-dir", cache, *map(str, programs))
    rows: list[tuple[str, str, str]] = re.findall(
        r"(\w+\.py):(\d+): error: .*\[([\w-]+)\]$", out, re.MULTILINE
    )
    errors = {(name, int(number), rule) for name, number, rule in rows}
    check(found_in(programs, errors), {each.name: each.mypy for each in MISTAKES}, out)


def test_pyright_rejects_them(programs: list[Path]) -> None:
    pytest.importorskip("basedpyright")
    config = programs[0].parent / "pyrightconfig.json"
    settings = {
        "include": [str(path) for path in programs],
        "typeCheckingMode": "standard",
        "extraPaths": [str(ROOT)],
    }
    config.write_text(json.dumps(settings))
    out = run("basedpyright", "--pythonpath", sys.executable, "-p", str(config), "--outputjson")
    errors = {
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1, each.get("rule", ""))
        for each in json.loads(out)["generalDiagnostics"]
        if each["severity"] == "error"
    }
    check(found_in(programs, errors), {each.name: each.pyright for each in MISTAKES}, out)
