"""The blocking client where the process has no epoll selector, as gevent's patches leave it."""

import subprocess
import sys

PROGRAM = """
import selectors

del selectors.EpollSelector
selectors.DefaultSelector = selectors.PollSelector

import asyncio

from machnet_rpc import Service, serve, sync

greeter = Service("greeter")


@greeter.rpc(timeout=10.0)
async def greet(name: str) -> str:
    return "Hello, " + name


def ask(address: str) -> str:
    with sync.connect(address) as client:
        return client.call(greet, "poll")


async def main() -> None:
    async with serve(greeter, "127.0.0.1:0") as server:
        print(await asyncio.to_thread(ask, server.address))


asyncio.run(main())
"""


def test_a_call_needs_no_epoll_selector() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("Hello, poll\n", "")
