"""A child has its parent's blocking client: it is told so, and disturbs nothing."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from machnet_rpc import sync
from machnet_rpc._transports.ladder import Via
from tests.machnet_rpc.ledger import Ledger, LedgerBook
from tests.machnet_rpc.server_thread import SECONDS_MAX, serving
from tests.machnet_rpc.tap import Drop, Tap, TapDesk
from tests.machnet_rpc.waiting import until_seen


@pytest.fixture
def blocking(via: Via, book: LedgerBook) -> Iterator[sync.Client]:
    with (
        serving(book, "127.0.0.1:0", via) as server,
        sync.connect(server.address, via=via, timeout=5.0) as client,
    ):
        assert client.call(Ledger.echo, b"a flow") == b"a flow"
        yield client


def in_child(work: Callable[[], object]) -> str:
    """What it says there, or raises."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, said_of(work).encode())
        finally:
            os._exit(0)  # nothing of the tests may run here
    os.close(writer)
    with os.fdopen(reader) as said_there:
        said = said_there.read()
    os.waitpid(child, 0)
    return said


def said_of(work: Callable[[], object]) -> str:
    try:
        return str(work())
    except RuntimeError as error:
        return f"{type(error).__name__}: {error}"


USES: dict[str, Callable[[sync.Client], object]] = {
    "plain": lambda client: client.call(Ledger.echo, b"1"),
    "metadata": lambda client: client.using(metadata={"a": "b"}).call(Ledger.echo, b"1"),
    "by name": lambda client: client.call("ledger/echo", b"1"),
    "many": lambda client: client.call_many(Ledger.echo, [b"1"]),
    "open": lambda client: client.open(),
}


def test_a_child_is_told_and_its_parent_goes_on(blocking: sync.Client) -> None:
    for use in USES.values():
        assert "connected before the process forked" in in_child(partial(use, blocking))
        assert blocking.call(Ledger.echo, b"goes on") == b"goes on"
    assert in_child(blocking.close) == "None"
    assert blocking.using(metadata={"a": "b"}).call(Ledger.echo, b"goes on") == b"goes on"


def test_so_is_one_that_is_forked_while_another_thread_calls(blocking: sync.Client) -> None:
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(blocking.method(Ledger.sleep).using(timeout=SECONDS_MAX), 0.5)
        until_seen(lambda: blocking._blocking._is_busy)
        said = in_child(lambda: blocking.call(Ledger.echo, b"1"))
        assert "connected before the process forked" in said
        assert in_child(blocking.close) == "None"
        assert other.result(SECONDS_MAX)


@pytest.mark.parametrize("via", ["memory", "direct"], indirect=True)
def test_a_stream_of_its_parent(via: Via) -> None:
    with (
        serving(TapDesk(), "127.0.0.1:0", via) as server,
        sync.connect(server.address, via=via, timeout=5.0) as client,
    ):
        drops: Any = [Drop(each) for each in range(3)]
        for items in (client.stream(Tap.run, 3), client.stream(Tap.echo, drops, "a")):
            next(items)
            assert "connected before the process forked" in in_child(items.__next__)
            assert in_child(items.close) == "None"
            assert len(list(items)) == 2


@pytest.mark.parametrize("via", ["memory"], indirect=True)
def test_what_a_child_collects_stays_its_parents(blocking: sync.Client) -> None:
    """The loop closes there: its copy shares the kernel's set of descriptors with the parent's."""
    loop: Any = blocking._blocking.loop
    assert in_child(loop.close) == "None"
    loop._write_to_self()  # as call_soon_threadsafe does
    ready = [key.fileobj for key, _ in loop._selector.select(SECONDS_MAX)]
    assert loop._ssock.fileno() in ready
    assert blocking.using(metadata={"a": "b"}).call(Ledger.echo, b"goes on") == b"goes on"
