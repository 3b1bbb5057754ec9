"""The workloads: mixes, keys, property files."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import pytest

from examples.data import YCSB_WORKLOADS, data_directory, find
from examples.kvstore.workload import (
    BUILT_IN,
    Kind,
    Workload,
    WorkloadError,
    key_name,
    load_order,
    operations,
    parse,
    read_workload,
    record,
    with_new_field,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_mix_is_as_named(name: str) -> None:
    workload = BUILT_IN[name].scaled(500, 20_000)
    loaded = set(load_order(workload))
    stream = list(operations(workload, seed=7))
    kinds = Counter(operation.kind for operation in stream)
    assert len(stream) == 20_000
    assert len(loaded) == 500
    for kind, share in (
        (Kind.READ, workload.read),
        (Kind.UPDATE, workload.update),
        (Kind.READ_MODIFY_WRITE, workload.read_modify_write),
    ):
        assert kinds[kind] / len(stream) == pytest.approx(share, abs=0.02)
    assert {operation.key for operation in stream} <= loaded
    assert {operation.field for operation in stream} == set(range(workload.fields))


def test_a_seed_is_a_stream() -> None:
    workload = BUILT_IN["a"].scaled(100, 200)
    assert list(operations(workload, 1)) == list(operations(workload, 1))
    assert list(operations(workload, 1)) != list(operations(workload, 2))


def test_uniform_is_flat() -> None:
    workload = Workload(read=1, distribution="uniform", records=10, operations=20_000)
    counts = Counter(operation.key for operation in operations(workload, 5))
    assert all(1700 < count < 2300 for count in counts.values())


def test_zipfian_head() -> None:
    workload = BUILT_IN["c"].scaled(1000, 50_000)
    (_, most), *_ = Counter(o.key for o in operations(workload, 5)).most_common(1)
    assert 0.035 < most / 50_000 < 0.045


def test_records_and_fields() -> None:
    workload, random = BUILT_IN["f"], Random(1)
    value = record(workload, random)
    changed = with_new_field(workload, value, 3, random)
    assert len(value) == len(changed) == 1000
    assert value[:300] == changed[:300]
    assert value[300:400] != changed[300:400]
    assert value[400:] == changed[400:]


def test_key_names() -> None:
    assert key_name(0) == b"user6284781860667377211"


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_standard_files_equal_the_built_in_mixes(name: str) -> None:
    directory = find(YCSB_WORKLOADS)
    if directory is None:
        pytest.skip(f"no YCSB files: {data_directory() / YCSB_WORKLOADS} is absent")
    assert read_workload(directory / f"workload{name}") == BUILT_IN[name]


def test_defaults_are_those_of_ycsb() -> None:
    assert parse("# nothing\n") == Workload(read=0.95, update=0.05, distribution="uniform")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("scanproportion=0.95", "scanproportion=0.95: inserts and scans are not played"),
        ("insertproportion = 0.05", "inserts and scans"),
        ("requestdistribution=latest", "requestdistribution=latest: one of"),
        ("recordcount=ü", "recordcount=.: not a number"),
        ("recordcount=many", "recordcount=many: not a number"),
        ("# a\n\n! b\nrecordcount: 5", "line 4: name=value expected"),
        ("\x00\xff(\xb5", "line 1: name=value expected"),
        ("recordcount=0", "recordcount=0: at least 1"),
        ("recordcount=nan", "at least 1"),
        ("operationcount=-1", "at least 0"),
        ("readproportion=0\nupdateproportion=0", "all proportions are 0"),
        ("fieldcount=1000\nfieldlength=1000000", "at most 16777216 bytes expected"),
    ],
)
def test_bad_files_get_a_sentence(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "workload"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(WorkloadError, match=says) as raised:
        read_workload(path)
    assert str(path) in str(raised.value)
