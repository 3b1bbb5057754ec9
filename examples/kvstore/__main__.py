"""`python -m examples.kvstore serve | load | trace`."""

from __future__ import annotations

import argparse
import sys
from itertools import islice
from pathlib import Path

from examples.command import (
    add_client_arguments,
    add_transport_arguments,
    run,
    serve_until_signal,
    show,
    whole_number,
)
from examples.data import OLTP_TRACE, YCSB_WORKLOADS, DataMissingError, find, named_or_found
from examples.kvstore.contract import PORT, KeyValue
from examples.kvstore.play import Played, StoreNotEmptyError, play_trace, play_workload
from examples.kvstore.server import KeyValueServer
from examples.kvstore.store import Limits, Store, StoreError
from examples.kvstore.trace import TraceError, accesses
from examples.kvstore.workload import BUILT_IN, Workload, WorkloadError, read_workload
from examples.load import progress_bar
from machnet_rpc import connect

TRACE_ACCESSES = 914_145
EXPECTED = (DataMissingError, StoreError, StoreNotEmptyError, TraceError, WorkloadError)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m examples.kvstore", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="serve an empty store")
    serving.add_argument("--listen", default=f"127.0.0.1:{PORT}", help="host:port")
    serving.add_argument(
        "--memory-mib", type=whole_number(1, 1 << 20), default=1024, help="store at most this much"
    )
    add_transport_arguments(serving)
    load = commands.add_parser("load", help="play a YCSB workload against an empty store")
    load.add_argument("--workload", default="a", help="a, b, c, f, or a YCSB file")
    load.add_argument("--records", type=whole_number(1, 10_000_000))
    load.add_argument("--operations", type=whole_number(0, 10_000_000))
    load.add_argument("--seed", type=int, default=1)
    trace = commands.add_parser("trace", help="play the OLTP trace against an empty store")
    trace.add_argument("--trace", type=Path, help="a .lis.zst file")
    trace.add_argument("--accesses", type=whole_number(0), default=TRACE_ACCESSES)
    trace.add_argument("--value-bytes", type=whole_number(8, 1 << 20), default=256)
    for client in (load, trace):
        add_client_arguments(client, f"127.0.0.1:{PORT}")
    return top


def chosen_workload(name: str) -> Workload:
    """A standard file where it is present, else the equal mix built in, or the file named."""
    if name not in BUILT_IN:
        if not Path(name).is_file():
            raise DataMissingError(f"{name} is neither one of a, b, c, f nor a file")
        return read_workload(Path(name))
    standard = find(YCSB_WORKLOADS / f"workload{name}")
    return BUILT_IN[name] if standard is None else read_workload(standard)


async def serve_store(arguments: argparse.Namespace) -> int:
    store = Store(Limits(bytes_max=arguments.memory_mib << 20))
    return await serve_until_signal(KeyValueServer(store), arguments)


async def load_store(arguments: argparse.Namespace) -> int:
    workload = chosen_workload(arguments.workload).scaled(arguments.records, arguments.operations)
    async with connect(arguments.server, via=arguments.engine, require=arguments.require) as client:
        with progress_bar() as bar:
            total = workload.records + workload.operations
            task = bar.add_task(f"YCSB {arguments.workload}", total=total)
            played = await play_workload(
                client.stub(KeyValue),
                workload,
                seed=arguments.seed,
                window=arguments.window,
                progress=lambda done: bar.advance(task, done),
            )
        return told(f"YCSB {arguments.workload}", played, str(client.transport), arguments)


async def play_accesses(arguments: argparse.Namespace) -> int:
    path = named_or_found(arguments.trace, OLTP_TRACE, "play a workload with load")
    async with connect(arguments.server, via=arguments.engine, require=arguments.require) as client:
        with progress_bar() as bar:
            task = bar.add_task("key–value store: OLTP trace", total=arguments.accesses)
            played = await play_trace(
                client.stub(KeyValue),
                islice(accesses(path), arguments.accesses),
                value_bytes=arguments.value_bytes,
                window=arguments.window,
                progress=lambda done: bar.advance(task, done),
            )
        return told("OLTP trace", played, str(client.transport), arguments)


def told(title: str, played: Played, transport: str, arguments: argparse.Namespace) -> int:
    """Print the result; the exit status is 0 only if every answer was right."""
    result = {
        **played.load.as_dict(),
        "answers_checked": played.answers,
        "answers_wrong": played.wrong,
        "missed": played.missed,
        "items": played.items,
        "transport": transport,
        "is_right": played.is_right,
    }
    show(title, result, as_json=arguments.json)
    return 0 if played.is_right else 2


def main() -> int:
    arguments = parser().parse_args()
    command = {"serve": serve_store, "load": load_store, "trace": play_accesses}
    return run(command[arguments.command](arguments), EXPECTED)


if __name__ == "__main__":
    sys.exit(main())
