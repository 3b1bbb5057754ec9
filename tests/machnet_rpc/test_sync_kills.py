"""The blocking client when the processes that it depends on are killed."""

import contextlib
import threading
import time
from pathlib import Path

import pytest

from machnet_rpc import Unavailable, sync
from tests.e2e.processes import MRPC, Running
from tests.machnet_rpc.ledger import Ledger
from tests.own_address import own_address

LEDGER = "tests.machnet_rpc.ledger:LedgerBook"


class Host:
    """A sidecar and a server, each of which can be killed and started again."""

    def __init__(self, folder: Path, control: str, stack: contextlib.ExitStack) -> None:
        self.socket = folder / "engine.sock"
        self._config = folder / "engine.toml"
        here = own_address()
        engine = f'[engine]\naddress = "{here}"\nport = 0'
        self._config.write_text(f"{engine}\n[control]\n{control}\n")
        self._stack = stack
        self.engine = self.start_engine()
        self.address = f"{here}:7171"
        self.server = self.start_server()

    def start_engine(self) -> Running:
        argv = [*MRPC, "engine", "--socket", str(self.socket), "--config", str(self._config)]
        engine = self._started(Running(argv))
        assert "ready" in engine.text()
        return engine

    def start_server(self) -> Running:
        way = ["--listen", self.address, "--engine", str(self.socket), "--json"]
        server = self._started(Running([*MRPC, "serve", LEDGER, *way]))
        assert server.line()["address"] == self.address
        return server

    def _started(self, running: Running) -> Running:
        self._stack.callback(running.stop)
        return running


@pytest.mark.parametrize("control", ["direct = true", "direct = false"])
def test_server_and_engine_are_killed(tmp_path: Path, control: str) -> None:
    with contextlib.ExitStack() as stack:
        host = Host(tmp_path, control, stack)
        client = stack.enter_context(sync.connect(host.address, via=host.socket, timeout=10.0))
        sleep = client.method(Ledger.sleep).using(timeout=10)
        assert client.call(Ledger.echo, b"1") == b"1"
        killer = threading.Timer(0.1, host.server.kill)
        killer.start()
        before = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            sleep(10)
        assert (caught.value.executed, caught.value.stage) == ("yes", "handler started")
        assert time.monotonic() - before < 5
        with pytest.raises(Unavailable) as refused:
            client.using(wait=False).call(Ledger.echo, b"2")
        assert refused.value.executed == "no"
        killer.join()
        host.start_server()
        assert client.call(Ledger.echo, b"3") == b"3"
        host.engine.kill()  # while the client is idle
        host.start_engine()
        assert client.call(Ledger.echo, b"4") == b"4"  # the server comes back by itself
