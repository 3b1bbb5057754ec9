"""The documentation becomes a site: offline, without a broken link, with every public name."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import idl
import machnet_rpc
import transport_engine
from machnet_rpc import cli, sync, telemetry, testing, tracing
from tests.docs.network import network_of_its_own
from tests.tidy.tree import ROOT

PACKAGES = (machnet_rpc, sync, testing, tracing, telemetry, idl, transport_engine)
LOADED = re.compile(
    r'<(?:script|img|iframe|link rel="(?:stylesheet|preconnect)")[^>]*"(https?:[^"]+)'
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    argv = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)]
    done = subprocess.run(
        [*network_of_its_own(), *argv],
        check=False,
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_reference_has_every_public_name(site: Path) -> None:
    pages = "".join(page.read_text() for page in (site / "reference").glob("*.html"))
    for package in PACKAGES:
        names = {_heading(package, name) for name in package.__all__}
        missing = {name for name in names if f'<h3 id="{name}"' not in pages}
        assert not missing, sorted(missing)


def _heading(package: ModuleType, name: str) -> str:
    """The heading of a public name; of `service`, where it stands, as a module has its name."""
    full_name = f"{package.__name__}.{name}"
    return f"{full_name}.{name}" if full_name in sys.modules else full_name


def test_reference_has_every_command(site: Path) -> None:
    page = (site / "reference/mrpc.html").read_text()
    for command in cli.COMMANDS:
        name = command.__name__.rpartition(".")[2]
        assert f"usage: mrpc {name} " in page
    assert "usage: mrpc schema check " in page


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 10
    loaded = {url for page in pages for url in LOADED.findall(page.read_text())}
    assert not loaded
