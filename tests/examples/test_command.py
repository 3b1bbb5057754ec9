"""The command lines: bad input gets a sentence; a service and its load meet as a user has them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.kvstore import __main__ as kvstore
from examples.trading import __main__ as trading
from examples.trading.contract import Gateway
from machnet_rpc import connect

ROOT = Path(__file__).resolve().parents[2]


def run(
    main: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *argv: str
) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["program", *argv])
    assert callable(main)
    try:
        status = main()
    except SystemExit as left:
        status = left.code
    assert isinstance(status, int)
    return status, capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "status", "says"),
    [
        (["load", "--workload", "nope"], 1, "nope is neither one of a, b, c, f nor a file"),
        (["load", "--window", "0"], 2, "0 is not within 1 to 4096"),
        (["load", "--window", "many"], 2, "invalid whole number value: 'many'"),
        (["trace", "--trace", "/none.zst"], 1, "there is no file /none.zst"),
        (["load", "--server", "nowhere"], 1, "'nowhere' is not an address"),
        (["load", "--engine", "/none.sock"], 1, "/none.sock"),
        (["serve", "--engine", "/none.sock"], 1, "no sidecar answers"),
    ],
)
def test_bad_input_of_the_store(
    argv: list[str],
    status: int,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found, errors = run(kvstore.main, monkeypatch, capsys, *argv)
    assert says in errors
    assert found == status


def test_a_full_disk_is_a_sentence() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "examples.kvstore", "serve", "--listen", "127.0.0.1:0"],
            check=False,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": ""},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr == "error: cannot print: No space left on device\n"


def test_bad_input_of_the_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found, errors = run(trading.main, monkeypatch, capsys, "play", "--messages", str(tmp_path))
    assert (found, f"there is no file {tmp_path}" in errors) == (1, True)
    found, errors = run(trading.main, monkeypatch, capsys, "play", "--messages", "a", "--synthetic")
    assert (found, "not allowed with" in errors) == (2, True)


@pytest.mark.parametrize(
    ("main", "load", "says"),
    [
        (kvstore.main, "trace", "that holds cache/OLTP.lis.zst, or play a workload with load"),
        (trading.main, "play", "_message_50.csv, or play --synthetic"),
    ],
)
def test_where_there_is_no_recording_the_next_step_needs_none(
    main: object,
    load: str,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MRPC_DATA", str(tmp_path))
    status, errors = run(main, monkeypatch, capsys, load)
    assert (status, says in errors) == (1, True), errors


@pytest.mark.parametrize(
    ("module", "load"),
    [
        ("examples.kvstore", ["load", "--workload", "f", "--operations", "500"]),
        ("examples.trading", ["play", "--synthetic", "--count", "500"]),
    ],
)
def test_a_service_and_its_load(module: str, load: list[str]) -> None:
    program = [sys.executable, "-m", module]
    with subprocess.Popen(
        [*program, "serve", "--listen", "127.0.0.1:0"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            address = json.loads(server.stdout.readline())["address"]
            client = [*program, *load, "--json", "--server", address]
            first = subprocess.run(
                client, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
            )
            assert first.returncode == 0, first.stderr
            assert json.loads(first.stdout)["is_right"]
            second = subprocess.run(
                client, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
            )
            assert second.returncode == 1
            assert "start a new one" in second.stderr
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=30) == 0


def test_a_command_that_the_desk_refuses_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    serving = [sys.executable, "-m", "examples.trading", "serve", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(serving, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = json.loads(server.stdout.readline())["address"]
            play = ["play", "--synthetic", "--server", address, "--session", ""]
            status, errors = run(trading.main, monkeypatch, capsys, *play)
        finally:
            server.terminate()
    assert (status, "session names have 1 to 64 characters" in errors) == (1, True)


def test_a_gateway_that_is_told_to_end_does_not_wait_for_who_attends() -> None:
    async def attend(address: str, end: Callable[[], None]) -> None:
        async with connect(address) as client:
            gateway = client.stub(Gateway)
            attending = asyncio.create_task(gateway.attend("s", 0.0))
            await gateway.session("s")  # by now it attends
            end()
            await attending  # answered, not cancelled when the server's patience ends

    serving = [sys.executable, "-m", "examples.trading", "serve", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(serving, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = json.loads(server.stdout.readline())["address"]
            asyncio.run(attend(address, server.terminate))
            assert server.wait(timeout=30) == 0
        finally:
            server.kill()


def test_a_reader_that_has_gone_is_no_news() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    serving = [sys.executable, "-m", "examples.kvstore", "serve", "--listen", "127.0.0.1:0"]
    done = subprocess.run(
        serving,
        cwd=ROOT,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_what_is_closed_is_nowhere(closed: str) -> None:
    command = f'exec "$0" -m examples.kvstore load --server nowhere {closed}'
    done = subprocess.run(["bash", "-c", command, sys.executable], cwd=ROOT, check=False)
    assert done.returncode == 1  # and no abort of libuv, which closes no number below 3
