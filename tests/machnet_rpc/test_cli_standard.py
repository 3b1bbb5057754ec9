"""Commands whose standard streams are closed or of another encoding, and output that JSON takes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from machnet_rpc.cli.arguments import shown

CONTRACT = """
from machnet_rpc import rpc, service

@service("kv")
class Kv:
    \"\"\"Größe in µm, Preis in €.\"\"\"

    @rpc
    async def get(self, key: str) -> str:
        raise NotImplementedError
"""
MRPC = f"{sys.executable} -m machnet_rpc.cli"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_not_taken_for_a_socket(closed: str) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"{MRPC} call 127.0.0.1:1 kv/get {closed}"],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    if "2>&-" not in closed:
        assert "nobody listens on that port" in done.stderr


@pytest.mark.parametrize(
    ("encoding", "said"),
    [(None, "Größe in µm, Preis in €"), ("latin-1", "Größe in µm, Preis in \\u20ac")],
)
def test_what_a_locale_has_no_letter_for_is_printed(
    encoding: str | None, said: str, tmp_path: Path
) -> None:
    (tmp_path / "kv_contract.py").write_text(CONTRACT, encoding="utf-8")
    ascii_locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment = {**os.environ, **ascii_locale, "PYTHONPATH": str(tmp_path)}
    if encoding is not None:
        environment["PYTHONIOENCODING"] = encoding
    done = subprocess.run(
        [*MRPC.split(), "schema", "export", "--to", "markdown", "kv_contract:Kv"],
        check=False,
        env=environment,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert said in done.stdout.decode(encoding or "utf-8")


@pytest.mark.parametrize("arguments", ["--version", "--help", "schema --help", "doctor --json"])
def test_a_reader_that_has_gone_is_no_news(arguments: str) -> None:
    argv = [*MRPC.split(), *arguments.split()]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        argv, check=False, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(writing)
    assert (done.returncode in {0, 1}, done.stderr) == (True, "")  # argparse takes it for success


@pytest.mark.parametrize("arguments", ["--version", "doctor", "doctor --json"])
def test_a_full_disk_is_said_without_a_traceback(arguments: str) -> None:
    argv = [*MRPC.split(), *arguments.split()]
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            argv, check=False, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == 3
    for line in done.stderr.splitlines():
        assert line.startswith("mrpc: ")
        assert line.endswith("No space left on device")


def test_numbers_that_are_none_are_still_json() -> None:
    def refused(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    text = shown({"a": [float("nan"), float("inf"), -float("inf")], "b": 1.5})
    assert json.loads(text, parse_constant=refused) == {
        "a": ["NaN", "Infinity", "-Infinity"],
        "b": 1.5,
    }
