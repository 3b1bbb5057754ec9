"""No public name of any package lacks a type, or has one that only one checker would infer."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ahead import Ahead, ahead, asked

ROOT = Path(__file__).parents[2]
SECONDS_MAX = 600.0  # of each; they run at once
pytestmark = pytest.mark.timeout(1500)


def verified(package: str, folder: Path, *options: str, where: Path) -> dict[str, Any]:
    """What basedpyright says of a package's types; of PATH it takes the Python of libraries."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--verifytypes", package, *options, "--outputjson"],
        check=False,
        cwd=folder,
        env=os.environ | {"PATH": path, "PYTHONPATH": str(where)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=SECONDS_MAX,
    )
    report: dict[str, Any] = json.loads(done.stdout)["typeCompleteness"]
    return report


def report_of(package: str, folder: Path) -> dict[str, Any]:
    """What basedpyright says of an installed package, from outside of the checkout."""
    return verified(package, folder, "--ignoreexternal", where=ROOT)


@pytest.fixture(scope="module")
def reports(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ahead[str, dict[str, Any]]]:
    pytest.importorskip("basedpyright")
    outside = tmp_path_factory.mktemp("outside")
    packages = asked(request, test_public_names_have_types, "package")
    with ahead(lambda package: report_of(package, outside), packages) as reports:
        yield reports


@pytest.mark.parametrize("package", ["machnet_rpc", "idl", "transport_engine"])
def test_public_names_have_types(reports: Ahead[str, dict[str, Any]], package: str) -> None:
    report = reports[package]
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
    report = verified("loose", tmp_path, where=tmp_path)
    assert report["completenessScore"] == 0
