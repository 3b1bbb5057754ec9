"""Where the extension module cannot be loaded, the error says what to do."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import transport_engine
import transport_engine._native

ROOT = Path(transport_engine.__file__).parent
EXTENSION = Path(transport_engine._native.__file__)


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder with the package, and without its extension module."""
    (tmp_path / ROOT.name).mkdir()
    for file in ROOT.glob("*.py"):
        shutil.copy(file, tmp_path / ROOT.name)
    return tmp_path


def said(packages: Path, before: str = "") -> str:
    """The last line of what an import from that folder says."""
    done = subprocess.run(
        [sys.executable, "-c", f"{before}import transport_engine"],
        cwd=packages,
        env=os.environ | {"PYTHONPATH": str(packages)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]


def test_a_checkout_that_is_not_built(packages: Path) -> None:
    assert "Run `make build`, or, where machnet-rpc is installed, start" in said(packages)


@pytest.mark.parametrize(
    ("library", "package"),
    [(b"libsodium", "libsodium"), (b"libseccomp", "libseccomp"), (b"librte_eal", "librte-ethdev")],
)
def test_a_library_that_is_not_installed(packages: Path, library: bytes, package: str) -> None:
    """Such as the one of another Debian, whose number is another."""
    extension = EXTENSION.read_bytes()
    found = re.search(re.escape(library) + rb"\.so\.(\d+)\0", extension)
    if found is None:
        pytest.skip(f"built without {library.decode()}")
    number = b"9" * len(found[1])
    absent = library + b".so." + number + b"\0"
    (packages / ROOT.name / EXTENSION.name).write_bytes(extension.replace(found[0], absent))
    assert f"on Debian by `apt-get install {package}{number.decode()}`" in said(packages)


def test_a_free_threaded_python(packages: Path) -> None:
    """It takes the module's name for that of one of its own, and crashes where it is called."""
    shutil.copy(EXTENSION, packages / ROOT.name)
    before = "import sys; sys.abiflags = 't'; "
    assert "without a global interpreter lock, which the extensions need" in said(packages, before)
