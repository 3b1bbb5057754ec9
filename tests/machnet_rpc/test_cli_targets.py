"""What newcomers give `mrpc serve`: each mistake is a sentence with the next step."""

import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from machnet_rpc import Server
from machnet_rpc import cli as mrpc
from machnet_rpc.cli import serve

Capture = pytest.CaptureFixture[str]

SERVICE = """
from machnet_rpc import Service, rpc, service

@service("shop")
class ShopContract:
    @rpc
    async def price(self, fruit: str) -> int:
        raise NotImplementedError

class Shop(ShopContract):
    @rpc
    async def price(self, fruit: str) -> int:
        return 3
"""

GUARD = 'under `if __name__ == "__main__":`'
MISTAKES = [
    # what the module says, the target, and what is answered
    (
        "import asyncio\nasync def main(): pass\nasyncio.run(main())\n",
        "MODULE:Shop",
        (
            "runs an event loop as it is imported: RuntimeError: asyncio.run() cannot be called "
            f"from a running event loop (MODULE.py, line 3); put what only a program does {GUARD}"
        ),
    ),
    (
        (
            "import asyncio\nasync def main(): pass\n"
            "with asyncio.Runner() as runner: runner.run(main())\n"
        ),
        "MODULE:Shop",
        GUARD,
    ),
    (
        "from machnet_rpc import sync\nsync.connect('127.0.0.1:7000')\n",
        "MODULE:Shop",
        GUARD,
    ),
    ("import sys\nsys.exit(3)\n", "MODULE:Shop", "ends the program as it is imported"),
    ("x = 1 / 0\n", "MODULE:Shop", "ZeroDivisionError: division by zero (MODULE.py, line 1)"),
    ("def broken(:\n", "MODULE:Shop", "SyntaxError: "),
    ("import no_such_module\n", "MODULE:Shop", "imports what is not there: ModuleNotFoundError"),
    ("from os import nothing\n", "MODULE:Shop", "ImportError: cannot import name 'nothing'"),
    (SERVICE, "MODULE.py:Shop", "MODULE.py is a file: name the module, MODULE:Shop"),
    (SERVICE, "./MODULE.py", "name the module, MODULE:NAME"),
    (SERVICE, "folder/MODULE.py:Shop", "name the module, folder.MODULE:Shop"),
    (SERVICE, "/no/MODULE.py:Shop", "name the module, MODULE:Shop, in the folder /no"),
    (SERVICE, "../MODULE.py:Shop", "name the module, MODULE:Shop, in the folder .."),
    (SERVICE, "MODULE", "write module:name"),
    (SERVICE, "MODULE:", "write module:name"),
    (SERVICE, "no_MODULE:Shop", "there is no module no_MODULE in "),
    (SERVICE, "MODULE:Shob", "module MODULE has no Shob; it has Shop"),
    (SERVICE + "number = 5\n", "MODULE:number", "int is no service: decorate its contract with"),
    (SERVICE, "MODULE:ShopContract", "ShopContract is a contract: serve what implements it"),
    (SERVICE + "class Half(ShopContract): pass\n", "MODULE:Half", "Half: price is missing"),
    (
        SERVICE
        + "class Other(ShopContract):\n"
        + "    @rpc\n    async def price(self) -> int:\n        return 3\n",
        "MODULE:Other",
        "Other: shop/price takes (), not (fruit)",
    ),
    (SERVICE + "def needs(x): return x\n", "MODULE:needs", "cannot be called without arguments"),
    (
        SERVICE + "from datetime import datetime\n",
        "MODULE:datetime",
        "MODULE:datetime cannot be called without arguments",
    ),
    (
        SERVICE + "def fails():\n    return [][1]\n",
        "MODULE:fails",
        "could not be made: IndexError: list index out of range (MODULE.py, line",
    ),
    (
        SERVICE + "async def fails():\n    return [][1]\n",
        "MODULE:fails",
        "could not be made: IndexError: list index out of range (MODULE.py, line",
    ),
    pytest.param(
        SERVICE + "def fails(of: Nowhere = None):\n    return [][1]\n",
        "MODULE:fails",
        "could not be made: IndexError: list index out of range (MODULE.py, line",
        marks=pytest.mark.skipif(sys.version_info < (3, 14), reason="the hint is resolved at once"),
    ),
]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that is not written yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return f"made_{tmp_path.name}".replace("-", "_")


@pytest.mark.parametrize(("text", "target", "words"), MISTAKES)
@pytest.mark.filterwarnings("error")
def test_mistakes_get_a_sentence(
    module: str, text: str, target: str, words: str, capsys: Capture
) -> None:
    Path(f"{module}.py").write_text(text)
    assert mrpc.main(["serve", target.replace("MODULE", module)]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("mrpc: ")
    assert said.err.count("\n") == 1
    assert words.replace("MODULE", module) in said.err
    assert said.out == ""


@pytest.mark.parametrize(
    ("argv", "status", "words"),
    [
        (["--listen", "TAKEN"], 3, "it is in use: choose another, or end what listens there"),
        (["--listen", "192.0.2.1:7000"], 2, "can be reached by other machines"),
        (["--listen", "nowhere.invalid:7000"], 2, "nowhere.invalid"),
        (["--listen", "7000"], 2, "'7000' is not an address"),
        (["--engine", "/nowhere/engine.sock"], 3, "mrpc engine"),
        (["--require", "bypass"], 3, "bypass"),
    ],
)
def test_where_it_cannot_listen_gets_a_sentence(
    module: str, argv: list[str], status: int, words: str, capsys: Capture
) -> None:
    Path(f"{module}.py").write_text(SERVICE)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        argv = [address if each == "TAKEN" else each for each in argv]
        assert mrpc.main(["serve", f"{module}:Shop", *argv]) == status
    said = capsys.readouterr().err
    assert said.startswith("mrpc: ")
    assert words in said
    assert "Traceback" not in said


def test_calls_under_way_have_the_grace_that_was_asked_for(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    Path(f"{module}.py").write_text(SERVICE)
    given: list[float] = []
    close = Server.close

    async def closed(server: Server, grace: float = -1.0) -> None:
        given.append(grace)
        await close(server, 0.0)

    def ready(server: Server, *, as_json: bool) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Server, "close", closed)
    monkeypatch.setattr(serve, "_say_ready", ready)
    asked = ["serve", f"{module}:Shop", "--listen", "127.0.0.1:0"]
    assert mrpc.main([*asked, "--grace", "0.25"]) == 0
    assert mrpc.main(asked) == 0
    assert given == [0.25, 10.0]
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(";")[0] for line in said] == [
        "closing: 0 calls under way have 0.25 s to end",
        "closing: 0 calls under way have 10 s to end",
    ]


@pytest.mark.parametrize("name", ["call", "ls", "ping", "health", "bench", "stat"])
def test_commands_that_call_fail_without_the_way_that_is_required(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("MRPC_SOCKET", str(tmp_path / "none.sock"))
    method = ["shop/price"] if name in ("call", "bench") else []
    asked = [name, "127.0.0.1:1", *method, "--timeout", "0.2"]
    assert mrpc.main([*asked, "--require", "bypass"]) == 3
    assert "require='bypass', but the way to 127.0.0.1 is" in capsys.readouterr().err
    assert mrpc.main(asked) in (1, 3)
    assert "require" not in capsys.readouterr().err
