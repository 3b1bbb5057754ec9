"""Commands whose standard streams are closed or of another encoding, and output that JSON takes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from idl import pack, unpack
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
DEEPEST = 1024  # that can be packed
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


@pytest.mark.parametrize("unbuffered", ["", "1"])  # the latter in most containers
@pytest.mark.parametrize(
    "arguments", ["--version", "--help", "ls --help", "doctor", "doctor --json", "sim schema"]
)
def test_a_full_disk_is_said_without_a_traceback(arguments: str, unbuffered: str) -> None:
    argv = [*MRPC.split(), *arguments.split()]
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            argv,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 3
    assert done.stderr == "mrpc: cannot print: No space left on device\n"


def test_a_trace_for_which_the_disk_is_too_small_is_named(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.json"
    scenario.write_text(SCENARIO, encoding="utf-8")
    done = subprocess.run(
        [*MRPC.split(), "sim", "run", str(scenario), "--trace", "/dev/full"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 3
    assert "/dev/full" in done.stderr
    assert "No space left on device" in done.stderr


SCENARIO = """{
  "duration_us": 1000000,
  "topology": {"kind": "pair"},
  "workloads": [{"kind": "calls", "count": 1000}]
}"""
SHOP = """
from collections.abc import AsyncIterable
from machnet_rpc import rpc, service

@service("shop")
class Shop:
    @rpc
    async def price(self, fruit: str) -> int:
        raise NotImplementedError

    @rpc
    async def load(self, rows: AsyncIterable[int]) -> int:
        raise NotImplementedError

class Open(Shop):
    @rpc
    async def price(self, fruit: str) -> int:
        return 1

    @rpc
    async def load(self, rows: AsyncIterable[int]) -> int:
        return sum([row async for row in rows])
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[str]:
    """The address of a server of its own."""
    (tmp_path / "shop.py").write_text(SHOP, encoding="utf-8")
    argv = [*MRPC.split(), "serve", "shop:Open", "--listen", "127.0.0.1:0", "--json"]
    environment = {**os.environ, "MRPC_SOCKET": str(tmp_path / "none.sock")}
    with subprocess.Popen(
        argv, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        yield json.loads(server.stdout.readline())["address"]
        server.terminate()


@pytest.mark.parametrize(
    ("words", "given", "said"),
    [
        ("shop/price -", b'"\xff"', "the argument cannot be sent: "),
        ("shop/load", b"1\n\xff\n", "line 2 is not JSON"),
        ("shop/price -", b"[" * 100_000, "the argument is not JSON"),
        ("shop/load", b"1\n" + b"[" * 100_000, "line 2 is not JSON"),
    ],
)
def test_input_that_is_no_text_or_too_deep(shop: str, words: str, given: bytes, said: str) -> None:
    done = subprocess.run(
        [*MRPC.split(), "call", shop, *words.split()],
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},  # as in most locales
        input=given,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(f"mrpc: {said}")


@pytest.mark.parametrize("command", ["call", "bench"])
def test_a_name_that_is_no_text_names_no_method(shop: str, command: str) -> None:
    done = subprocess.run(
        [*MRPC.split(), command, shop, b"shop/\xff", "1"],
        check=False,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stdout == b""
    (line,) = done.stderr.decode().splitlines()
    assert line == "mrpc: 'shop/\\udcff' names no method: write service/method"


def test_numbers_that_are_none_are_still_json() -> None:
    def refused(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    text = shown({"a": [float("nan"), float("inf"), -float("inf")], "b": 1.5})
    assert json.loads(text, parse_constant=refused) == {
        "a": ["NaN", "Infinity", "-Infinity"],
        "b": 1.5,
    }


@pytest.mark.parametrize("is_compact", [False, True])
@pytest.mark.parametrize("kind", ["list", "dict"])
def test_a_result_is_shown_however_deep(kind: str, is_compact: bool) -> None:
    """Its call was executed: what is lost then cannot be asked for again."""
    value: object = 1
    for _ in range(DEEPEST):
        value = [value] if kind == "list" else {"a": value}
    limit = sys.getrecursionlimit()
    text = shown(unpack(pack(value)), compact=is_compact)
    assert text.count("]") + text.count("}") == DEEPEST
    assert sys.getrecursionlimit() == limit


@pytest.mark.parametrize("is_compact", [False, True])
def test_what_is_deeper_is_text(is_compact: bool) -> None:
    value: object = 1
    for _ in range(30 * DEEPEST):
        value = [value]
    assert json.loads(shown(value, compact=is_compact)) == "list"
