"""`mrpc msggen`: what an engine carries between two applications in C, without Python or RPC."""

import argparse
import asyncio
import contextlib
import json
import os
from collections.abc import AsyncGenerator, Iterator
from dataclasses import asdict
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from machnet_rpc._transports.address import resolved
from machnet_rpc.cli.arguments import Commands, UsageError, add_command, seconds
from machnet_rpc.cli.msggen_queues import CONNECT_SECONDS, LOOK_SECONDS, TOKEN, Queues
from machnet_rpc.cli.msggen_rows import SLICE_SECONDS, WARM_UP, Row, row_of, settle, slices
from machnet_rpc.cli.two_hosts import QUEUED, WIRES, Host, child, two_hosts
from machnet_rpc.cli.watching import Progress
from transport_engine.attach import SidecarAttachment, attach
from transport_engine.channel import Channel
from transport_engine.config import EngineConfig, load
from transport_engine.endpoint import Endpoint
from transport_engine.engine import Engine
from transport_engine.errors import EngineGoneError, NoEngineError
from transport_engine.inline import InlineAttachment, open_inline
from transport_engine.msggen import (
    BYTES_MAX,
    BYTES_MIN,
    WINDOW_MAX,
    Drive,
    Generator,
    opened_flow,
)

PORT: Final = 31582
RINGS: Final = (1 << 17, 16 << 20)
EPILOG: Final = """\
alone: one engine that sends to itself in memory; it and both applications share one thread
  mrpc msggen
two engines and two applications, four processes on this machine, joined as --netif says
  mrpc msggen --netif memif
the same in two processes, each of which drives its engine itself
  mrpc msggen --netif virtio --inline
so, too, with two threads in each and a queue of the netif for each pair of them; both
threads of a pair share a processor, so that twice the queues have twice the processors
  mrpc msggen --netif virtio --queues 1
  mrpc msggen --netif virtio --queues 2
on two hosts, each with a running `mrpc engine`
  mrpc msggen --serve 31582           here
  mrpc msggen 10.0.0.7:31582          there
on two hosts, with engines of their own; FILE is what `mrpc engine --config` takes
  mrpc msggen --config FILE --serve 31582
  mrpc msggen --config FILE 10.0.0.7:31582
the same with a thread and a queue for each of `cores` in both files; ports from 31582 on

A message goes there and comes back; its length and its marks at both ends are looked at.

exit status: 0 it was measured, 2 wrong usage, 3 no engine, or no answer, 130 interrupted
"""


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = add_command(commands, "msggen", run, "measure an engine with applications in C")
    parser.epilog = EPILOG
    parser.add_argument("address", metavar="ADDR", nargs="?", help="host:port of a server")
    parser.add_argument("--serve", type=int, metavar="PORT", help="answer clients, until Ctrl-C")
    parser.add_argument("--netif", choices=["loopback", *WIRES], help="without another host")
    parser.add_argument("--inline", action="store_true", help="with --netif: no sidecars")
    parser.add_argument("--queues", type=int, metavar="N", help="with --netif: see below")
    parser.add_argument("--engine", metavar="SOCKET", help="attach to the sidecar behind it")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="attach to none: run this engine in here"
    )
    parser.add_argument(
        "--size",
        type=int,
        default=1024,
        metavar="BYTES",
        help="of each message (default: %(default)s)",
    )
    parser.add_argument(
        "--windows",
        default="1,8,32",
        metavar="N,N",
        help="messages under way, one run for each (default: %(default)s)",
    )
    parser.add_argument(
        "--seconds", type=seconds, default=2.0, help="for each window (default: %(default)s)"
    )


async def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    windows = _windows(arguments)
    if arguments.serve is not None:
        return await _serve(arguments, max(windows))
    if arguments.address is not None:
        return await _client(arguments, windows)
    if arguments.netif in {None, "loopback"}:
        return await _loopback(arguments, windows)
    try:
        return await _two_hosts(arguments)
    except NoEngineError:
        await asyncio.sleep(0)  # where Ctrl-C ended what should have started, it is heard here
        raise


def _windows(arguments: argparse.Namespace) -> list[int]:
    """Checks all arguments; returns the windows."""
    chosen = [arguments.address, arguments.serve, arguments.netif]
    if sum(one is not None for one in chosen) > 1:
        raise UsageError("ADDR, --serve and --netif exclude each other")
    for option in ("engine", "config"):
        if getattr(arguments, option) is not None and chosen[:2] == [None, None]:
            raise UsageError(f"--{option} is for ADDR and --serve; else msggen has its own engines")
    if arguments.engine is not None and arguments.config is not None:
        raise UsageError("--engine and --config exclude each other")
    if arguments.inline and arguments.netif in {None, "loopback"}:
        raise UsageError(f"--inline is for --netif {', '.join(WIRES)}")
    if arguments.queues is not None:
        _check_queues(arguments)
    if not BYTES_MIN <= arguments.size <= BYTES_MAX:
        raise UsageError(f"--size {arguments.size}: allowed is {BYTES_MIN} to {BYTES_MAX}")
    if arguments.serve is not None and not 1 <= arguments.serve < 1 << 16:
        raise UsageError(f"--serve {arguments.serve}: a port is 1 to 65535")
    try:
        windows = [int(word) for word in arguments.windows.split(",")]
    except ValueError:
        windows = []
    if not windows or not all(1 <= window <= WINDOW_MAX for window in windows):
        raise UsageError(
            f"--windows {arguments.windows}: numbers from 1 to {WINDOW_MAX} with commas between"
        )
    return windows


def _check_queues(arguments: argparse.Namespace) -> None:
    queues, usable = arguments.queues, len(os.sched_getaffinity(0))
    if arguments.netif not in QUEUED:
        raise UsageError(f"--queues is for --netif {', '.join(QUEUED)}")
    if not 1 <= queues <= usable:
        raise UsageError(
            f"--queues {queues}: each needs a processor, and this process may run on {usable}"
        )


def _ring_bytes(size: int, window: int) -> int:
    """A ring that holds the window twice, as any sidecar gives it; small, it stays in cache."""
    wanted = 2 * window * (size + 64)
    return next((ring for ring in _powers(*RINGS) if ring >= wanted), RINGS[1])


def _powers(low: int, high: int) -> Iterator[int]:
    while low <= high:
        yield low
        low *= 2


@contextlib.asynccontextmanager
async def _attached(
    arguments: argparse.Namespace, window: int
) -> AsyncGenerator[tuple[SidecarAttachment | InlineAttachment, list[Engine]]]:
    """Gives a channel, and the engine behind it if this thread has to drive it."""
    ring_bytes = _ring_bytes(arguments.size, window)
    attachment: SidecarAttachment | InlineAttachment
    engines: list[Engine] = []
    if arguments.config is None:
        attachment = await attach(arguments.engine, ring_bytes)
    else:
        attachment = open_inline(load(arguments.config).engine, ring_bytes)
        engines.append(attachment.engine)
    try:
        yield attachment, engines
    finally:
        await attachment.close()


# ---- the two roles, and both in one ----


async def _two_hosts(arguments: argparse.Namespace) -> int:
    """Both roles as processes of their own, with or without sidecars."""
    size = ["--json", "--size", str(arguments.size), "--windows", arguments.windows]
    with contextlib.ExitStack() as stack:
        hosts = two_hosts(arguments.netif, arguments.queues or 0)
        server, client, wire = stack.enter_context(hosts)
        is_inline = arguments.inline or arguments.queues is not None
        if not is_inline:
            stack.enter_context(server.engine())
            stack.enter_context(client.engine())
        serve = ["msggen", *size, "--serve", str(PORT), *_engine_of(server, is_inline)]
        log = server.folder / "application.log"
        stack.enter_context(child("the server", server.application(*serve), log))
        call = ["msggen", *size, f"{server.address}:{PORT}", *_engine_of(client, is_inline)]
        call += ["--seconds", str(arguments.seconds)]
        status, said = await _said(client.application(*call))
    if status != 0:
        print(said, end="")
        return status
    title = f"{wire.title}, applications inline" if is_inline else wire.title
    if arguments.queues is not None:
        many = "s" if arguments.queues > 1 else ""
        title += f", {arguments.queues} queue{many} on as many processors"
    found = json.loads(said)
    _print(arguments, title, [Row(**row) for row in found["rows"]], found.get("handed_over"))
    return 0


def _engine_of(host: Host, is_inline: bool) -> list[str]:
    if is_inline:
        return ["--config", str(host.config)]
    return ["--engine", str(host.socket)]


async def _said(argv: list[str]) -> tuple[int, str]:
    """Runs a command; returns its status and what it printed."""
    argv = ["setpriv", "--pdeathsig", "TERM", *argv]
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    return process.returncode or 0, said.decode()


def _queues(arguments: argparse.Namespace, window: int) -> Queues | None:
    """What --config opens, if it names processors."""
    if arguments.config is None:
        return None
    config = load(arguments.config).engine
    return Queues(config, _ring_bytes(arguments.size, window)) if config.cores else None


def _say_ready(arguments: argparse.Namespace, local: Endpoint) -> None:
    address = str(Endpoint(local.address, arguments.serve))
    said = json.dumps({"ready": address}) if arguments.json else f"answering at {address}"
    print(said, flush=True)


async def _serve(arguments: argparse.Namespace, window: int) -> int:
    """Answers until it is told to stop, or the engine is gone."""
    queues = _queues(arguments, window)
    if queues is not None:
        with queues:
            queues.listen(arguments.serve)
            _say_ready(arguments, queues.local)
            await queues.serve()
    async with _attached(arguments, window) as (attachment, engines):
        await attachment.listen(arguments.serve)
        _say_ready(arguments, attachment.local)
        with Generator(attachment.channel) as server:
            drive = Drive([server], engines)
            while True:
                drive.run(SLICE_SECONDS)
                await asyncio.sleep(0)


async def _client(arguments: argparse.Namespace, windows: list[int]) -> int:
    address, size = arguments.address, arguments.size
    host, port = await resolved(address)
    rows: list[Row] = []
    queues = _queues(arguments, max(windows))
    if queues is not None:
        with queues:
            flows = await queues.connect(host, port)
            rows = [
                await queues.measure(flows, window, size, arguments.seconds) for window in windows
            ]
            _print(arguments, f"{address} by {queues.driver}", rows, queues.handed_over())
        return 0
    async with _attached(arguments, max(windows)) as (attachment, engines):
        await attachment.connect(Endpoint(ip_address(host), port), TOKEN)
        channel = attachment.channel
        flow = await _flow(channel, engines, address)
        for window in windows:
            with Generator(channel, flow=flow, size_bytes=size, window=window) as client:
                drive = Drive([client], engines)
                rows.append(await _measured(arguments.seconds, window, client, drive))
        _print(arguments, f"{address} by {attachment.driver}", rows)
    return 0


async def _flow(channel: Channel, engines: list[Engine], address: str) -> int:
    """Waits for the flow that was asked for."""
    for _ in range(round(CONNECT_SECONDS / LOOK_SECONDS)):
        for engine in engines:
            engine.poll()
        flow = opened_flow(channel, TOKEN)
        if flow is not None:
            return flow
        await asyncio.sleep(LOOK_SECONDS)
    raise EngineGoneError(f"{address} does not answer: does `mrpc msggen --serve` run there?")


async def _loopback(arguments: argparse.Namespace, windows: list[int]) -> int:
    """Engine and both applications in this thread."""
    size, rows = arguments.size, list[Row]()
    with Engine(EngineConfig(driver="loopback")) as engine:
        ring_bytes = _ring_bytes(size, max(windows))
        ends = [engine.attach(ring_bytes) for _ in range(2)]
        (client_index, client_channel), (server_index, server_channel) = ends
        with client_channel, server_channel, Generator(server_channel) as server:
            remote = Endpoint(engine.local.address, engine.listen(server_index, PORT))
            engine.connect(client_index, remote, TOKEN)
            flow = None
            while flow is None:
                Drive([server], [engine]).run(LOOK_SECONDS)
                flow = opened_flow(client_channel, TOKEN)
            for window in windows:
                with Generator(client_channel, flow=flow, size_bytes=size, window=window) as client:
                    drive = Drive([client, server], [engine])
                    rows.append(await _measured(arguments.seconds, window, client, drive))
    _print(arguments, "one engine in memory, everything in one thread", rows)
    return 0


# ---- measuring ----


async def _measured(duration: float, window: int, client: Generator, drive: Drive) -> Row:
    """One row: a warm-up that does not count, the run, and an end in which all is answered."""
    progress = Progress()

    async def drive_for(seconds: float) -> None:
        for replies in slices(seconds, client, drive):
            progress.show(f"window {window}: {replies:,} messages there and back")
            await asyncio.sleep(0)  # so that Ctrl-C is heard

    try:
        await drive_for(duration * WARM_UP)
        client.forget()
        await drive_for(duration)
        row = row_of(window, client)
    finally:
        progress.clear()
    settle(drive)
    return row


def _print(
    arguments: argparse.Namespace, title: str, rows: list[Row], handed_over: int | None = None
) -> None:
    if arguments.json:
        facts = {"title": title, "size_bytes": arguments.size, "rows": [asdict(r) for r in rows]}
        print(json.dumps(facts if handed_over is None else facts | {"handed_over": handed_over}))
        return
    print(f"{arguments.size} bytes there and back; {title}")
    print(f"{'window':>8}{'RPC/s':>14}{'p50 µs':>10}{'p99 µs':>10}{'p99.9 µs':>10}")
    for row in rows:
        latencies = f"{row.p50_us:>10.1f}{row.p99_us:>10.1f}{row.p999_us:>10.1f}"
        print(f"{row.window:>8}{row.rpcs_per_second:>14,.0f}{latencies}")
    if handed_over is not None:
        print(f"{handed_over:,} packets came to another thread than theirs at the client")
