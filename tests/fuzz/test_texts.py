"""What people and peers write, damaged: its readers give a value, or the error that they promise.

Each test damages good texts from one seed, as often as it says; a failure shows the text.
"""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import zstandard

from examples.kvstore.trace import TraceError, accesses
from examples.trading.book import Book
from examples.trading.lobster import FormatError, apply, read, steps
from idl import (
    CodecError,
    MalformedSchema,
    ProtoError,
    dump_lock,
    import_proto,
    load_lock,
    pack,
    unpack,
)
from idl.contract import service_from
from machnet_rpc._metadata import MalformedMetadata, split, with_metadata
from machnet_rpc.schemas import schema_of
from tests.c_builds import ROOT
from tests.fuzz.mutations import damaged_bytes, damaged_json, damaged_value
from tests.idl.catalogue import Catalogue
from transport_engine import ConfigError, config, simulator

SCENARIOS: Final = tuple(
    json.loads(path.read_bytes()) for path in sorted((ROOT / "tests/sim/scenarios").glob("*.json"))
)
TOML: Final = b"""\
[engine]
driver = "udp"
port = 7000
limits = {flows_max = 9, dead_seconds = 1.5}
[services]
orders = "7000-7099"
[[tenants]]
name = "desk"
uids = [1, 2]
listen = ["orders"]
reach = [{network = "10.0.0.0/8", ports = ["7000"]}]
"""
LOCK: Final[dict[str, Any]] = json.loads(dump_lock([schema_of(Catalogue)], "t"))
ORDERS: Final = "".join(
    f"34200.{i:02},{1 + i * i % 7},{i % 9},{1 + i % 5},{585000 + 100 * (i % 11)},{i % 2 * 2 - 1}\n"
    for i in range(60)
).encode()
PAGES: Final = "".join(f"{i * 7} {1 + i % 3} 0 {i}\n" for i in range(200)).encode()
VALUE: Final = {"a": [1, -1, 1 << 70, 1.5, None, True], "b": {"c": b"bytes", "d": "text" * 20}}


def _survives(
    times: int, allowed: tuple[type[Exception], ...], trial: Callable[[random.Random], Any]
) -> None:
    """Runs trials, of which each may end with one of the errors; each has a seed of its own."""
    read = 0
    for seed in range(times):
        try:
            trial(random.Random(seed))
            read += 1
        except allowed:
            pass
        except Exception as error:
            error.add_note(f"the damage is that of seed {seed}")
            raise
    assert read < times  # else nothing was damaged


def test_a_sidecars_toml(tmp_path: Path) -> None:
    path = tmp_path / "engine.toml"

    def trial(rng: random.Random) -> None:
        path.write_bytes(damaged_bytes(rng, TOML))
        config.load(path).engine.into_c()

    _survives(3000, (ConfigError,), trial)


def test_a_scenario() -> None:
    def trial(rng: random.Random) -> None:
        simulator.parse(damaged_json(rng, rng.choice(SCENARIOS)))

    _survives(400, (ConfigError,), trial)


def test_a_lock_file() -> None:
    _survives(3000, (MalformedSchema,), lambda rng: load_lock(damaged_json(rng, LOCK)))


def test_a_schema_of_a_peer() -> None:
    def trial(rng: random.Random) -> None:
        service = service_from(damaged_value(rng, LOCK["services"][0]))
        for method in service.methods:
            service.method_fingerprint(method)

    _survives(3000, (MalformedSchema,), trial)


def test_plain_values() -> None:
    whole = pack(VALUE)
    _survives(20000, (CodecError,), lambda rng: unpack(damaged_bytes(rng, whole)))


def test_metadata() -> None:
    whole = with_metadata({"name": "text" * 9, "other": b"bytes"}, b"payload")
    _survives(20000, (MalformedMetadata,), lambda rng: split(damaged_bytes(rng, whole)))


def test_recorded_order_flow(tmp_path: Path) -> None:
    path = tmp_path / "messages.csv"

    def trial(rng: random.Random) -> None:
        path.write_bytes(damaged_bytes(rng, ORDERS))
        book = Book()
        for step in steps(read(path)):
            if step.request is not None:
                apply(book, step.request)

    _survives(5000, (FormatError,), trial)


@pytest.mark.parametrize("is_inside", [True, False], ids=["its text", "the file"])
def test_a_trace_of_pages(tmp_path: Path, is_inside: bool) -> None:
    path = tmp_path / "pages.lis.zst"

    def trial(rng: random.Random) -> None:
        text = damaged_bytes(rng, PAGES) if is_inside else PAGES
        file = zstandard.compress(text)
        path.write_bytes(file if is_inside else damaged_bytes(rng, file))
        for _ in zip(range(100_000), accesses(path), strict=False):
            pass

    _survives(4000, (TraceError, zstandard.ZstdError), trial)


def test_a_proto_file(tmp_path: Path) -> None:
    path, whole = tmp_path / "some.proto", (ROOT / "tests/idl/protos/greeter.proto").read_bytes()

    def trial(rng: random.Random) -> None:
        path.write_bytes(damaged_bytes(rng, whole))
        compile(import_proto([path]), "some.py", "exec")

    _survives(1500, (ProtoError,), trial)
