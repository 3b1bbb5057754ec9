"""The files in deploy/ are accepted by what reads them, and keep the engine in few rights."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.tidy.tree import ROOT
from transport_engine.config import load, system_socket_path

DEPLOY = ROOT / "deploy"
EXPOSURE_MAX = 20  # tenths, as systemd-analyze counts: below 2.0 is "OK"
MRPC = "/opt/machnet-rpc/bin/mrpc"
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that this machine has."""
    text = (DEPLOY / "mrpc-engine.service").read_text()
    assert MRPC in text
    path = tmp_path / "mrpc-engine.service"
    path.write_text(text.replace(MRPC, "/bin/true"))
    return path


@needs_systemd
def test_systemd_understands_the_unit(unit: Path) -> None:
    argv = [str(ANALYZE), "verify", "--man=no", "--recursive-errors=no", str(unit)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_systemd_finds_the_unit_confined(unit: Path) -> None:
    argv = [str(ANALYZE), "security", "--offline=yes", f"--threshold={EXPOSURE_MAX}", str(unit)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_unit_serves_where_applications_look() -> None:
    text = (DEPLOY / "mrpc-engine.service").read_text()
    assert f"--socket {system_socket_path()}" in text
    assert f"RuntimeDirectory={system_socket_path().parent.name}" in text
    assert "User=machnet" in text


def test_configuration_is_valid() -> None:
    assert load(DEPLOY / "engine.toml").process.sandbox == "full"


def instructions() -> list[tuple[str, str]]:
    """Of the container file, with their lines joined."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Containerfile").read_text(), flags=re.MULTILINE)
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def test_container_runs_as_its_own_user_from_named_images() -> None:
    found = instructions()
    known = {"FROM", "RUN", "COPY", "USER", "ENTRYPOINT", "CMD"}
    assert {word for word, _ in found} <= known
    last = max(index for index, (word, _) in enumerate(found) if word == "FROM")
    users = [rest for word, rest in found[last:] if word == "USER"]
    assert users == ["10001:10001"]
    assert [word for word, _ in found[last:]].index("USER") < len(found[last:]) - 1
    for word, rest in found:
        if word == "FROM":
            assert re.match(r"debian:12-slim\b", rest)
        if word == "RUN" and "apt-get install" in rest:
            assert "--no-install-recommends" in rest
            assert "rm -rf /var/lib/apt/lists/*" in rest


def test_container_builds_with_the_packages_of_a_checkout() -> None:
    listed = re.search(r"packages=\((.*)\)", (ROOT / ".ci/packages").read_text())
    assert listed is not None
    needed = set(listed[1].split()) - {"iproute2", "libdpdk-dev"}  # tests, and the other driver
    (build, *_) = [rest for word, rest in instructions() if word == "RUN"]
    assert needed <= set(build.split())
