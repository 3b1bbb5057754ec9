"""No public name of any package lacks a type, or has one that only one checker would infer."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def report_of(package: str, folder: Path) -> dict[str, Any]:
    """What basedpyright says of an installed package, from outside of the checkout."""
    argv = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable]
    done = subprocess.run(
        [*argv, "--verifytypes", package, "--ignoreexternal", "--outputjson"],
        check=False,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    report: dict[str, Any] = json.loads(done.stdout)["typeCompleteness"]
    return report


@pytest.mark.parametrize("package", ["machnet_rpc", "idl", "transport_engine"])
def test_public_names_have_types(package: str, tmp_path: Path) -> None:
    pytest.importorskip("basedpyright")
    report = report_of(package, tmp_path)
    untyped = [
        f"{symbol['name']}: {said['message']}"
        for symbol in report["symbols"]
        if symbol["isExported"] and not symbol["isTypeKnown"]
        for said in symbol["diagnostics"]
    ]
    assert not untyped, "\n".join(untyped)
    assert report["completenessScore"] == 1
    assert report["exportedSymbolCounts"]["withKnownType"] > 100


def test_a_name_without_a_type_is_found(tmp_path: Path) -> None:
    package = tmp_path / "loose"
    package.mkdir()
    (package / "py.typed").touch()
    (package / "__init__.py").write_text("def loose(it):\n    return it\n")
    argv = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable]
    done = subprocess.run(
        [*argv, "--verifytypes", "loose", "--outputjson"],
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    assert json.loads(done.stdout)["typeCompleteness"]["completenessScore"] == 0
