"""The sdist holds what a wheel needs; a wheel works outside the checkout, with DPDK and without.

The sdist is made from the last commit, so a file that was never added to git fails here.
"""

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ahead import Ahead, ahead, asked

ROOT = Path(__file__).resolve().parent.parent.parent
TOOLS = Path(sys.executable).parent
TIMEOUT_S = 300.0
DRIVERS = """
import machnet_rpc, idl, transport_engine
from pathlib import Path
from transport_engine._native import ffi, lib
print(Path(machnet_rpc.__file__).parent.parent)
print(ffi.string(lib.te_drivers()).decode())
"""
WARNED_OF = "-Wpadded"  # by any compiler, in any code: what a newer one finds in ours

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(2 * TIMEOUT_S)]


def run(argv: list[str], folder: Path, c_flags: str = "") -> str:
    """Runs a command to its end and returns what it printed."""
    environment = os.environ | {"PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}"}
    environment["CFLAGS"] = c_flags
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        argv,
        check=False,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    run([sys.executable, "-c", f"import mesonpy; mesonpy.build_sdist({str(folder)!r})"], ROOT)
    (made,) = folder.glob("machnet_rpc-*.tar.gz")
    return made


def install(wheel: Path, folder: Path) -> Path:
    """Installs a wheel into a new environment that sees our dependencies but not our checkout."""
    venv.create(folder, symlinks=True, with_pip=False)
    python = folder / "bin/python"
    (packages,) = (folder / "lib").glob("python3*/site-packages")
    run([str(TOOLS / "pip"), "install", "--no-deps", f"--target={packages}", str(wheel)], folder)
    # Paths that a .pth file adds have no .pth files of their own read: no editable install there.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("platlib"), encoding="utf-8")
    return python


@pytest.fixture(scope="module")
def wheels(
    request: pytest.FixtureRequest, sdist: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ahead[str, Path]]:
    def built(dpdk: str) -> Path:
        folder = tmp_path_factory.mktemp("wheel")
        build = [str(TOOLS / "pip"), "wheel", "--no-build-isolation", "--no-deps"]
        settings = f"--config-settings=setup-args=-Ddpdk={dpdk}"
        run([*build, settings, str(sdist)], folder, c_flags=WARNED_OF)
        (wheel,) = folder.glob("*.whl")
        return wheel

    with ahead(built, asked(request, test_wheel_works_outside_the_checkout, "dpdk")) as wheels:
        yield wheels


@pytest.mark.parametrize("dpdk", ["disabled", "auto"])
def test_wheel_works_outside_the_checkout(
    wheels: Ahead[str, Path], dpdk: str, tmp_path: Path
) -> None:
    wheel = wheels[dpdk]
    python = install(wheel, tmp_path / "venv")
    folder, drivers = run([str(python), "-W", "error", "-c", DRIVERS], tmp_path).splitlines()
    assert Path(folder).is_relative_to(tmp_path)
    has_dpdk = subprocess.run(["pkg-config", "--exists", "libdpdk >= 22.11"], check=False)
    assert ("dpdk" in drivers.split()) == (dpdk == "auto" and has_dpdk.returncode == 0)
    assert "udp" in drivers.split()
