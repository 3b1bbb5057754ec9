"""YCSB's core workloads A, B, C and F as streams of operations.

Knows keys and records, but no store. One deviation: a record is one value of the store, so an
update writes all of its fields (`writeallfields=true`); a read-modify-write replaces one of them.

Source: YCSB 0.17, `core/.../workloads/CoreWorkload.java` and `workloads/workload[abcf]`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING

from examples.kvstore.zipfian import ScrambledZipfian, fnv_hash

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROPORTIONS = (
    "readproportion",
    "updateproportion",
    "readmodifywriteproportion",
    "insertproportion",
    "scanproportion",
)
DISTRIBUTIONS = ("uniform", "zipfian")
RECORD_BYTES_MAX = 1 << 24  # more than a store takes, and no burden to make


class Kind(StrEnum):
    """What an operation does to its record."""

    READ = "read"
    UPDATE = "update"
    READ_MODIFY_WRITE = "read-modify-write"


@dataclass(frozen=True, slots=True)
class Workload:
    """A mix; proportions need not sum to 1."""

    read: float
    update: float = 0.0
    read_modify_write: float = 0.0
    distribution: str = "zipfian"
    records: int = 1000
    operations: int = 1000
    fields: int = 10
    field_bytes: int = 100

    def scaled(self, records: int | None, operations: int | None) -> Workload:
        """The same mix over another number of records and operations."""
        return replace(
            self,
            records=self.records if records is None else records,
            operations=self.operations if operations is None else operations,
        )


BUILT_IN = {
    "a": Workload(read=0.5, update=0.5),
    "b": Workload(read=0.95, update=0.05),
    "c": Workload(read=1.0),
    "f": Workload(read=0.5, read_modify_write=0.5),
}


@dataclass(frozen=True, slots=True)
class Operation:
    """`field` is the one that a read-modify-write replaces."""

    kind: Kind
    key: bytes
    field: int


class WorkloadError(ValueError):
    """A workload file that says something else than the mixes that are played here."""


def key_name(number: int) -> bytes:
    """The key of record `number`, as YCSB builds it with hashed insert order."""
    return b"user%d" % fnv_hash(number)


def load_order(workload: Workload) -> Iterator[bytes]:
    """The keys to be there before the first operation."""
    return (key_name(number) for number in range(workload.records))


def record(workload: Workload, random: Random) -> bytes:
    """A new value: all fields, one behind the other."""
    return random.randbytes(workload.fields * workload.field_bytes)


def with_new_field(workload: Workload, value: bytes, field: int, random: Random) -> bytes:
    """`value` with one field replaced."""
    start = field * workload.field_bytes
    end = start + workload.field_bytes
    return value[:start] + random.randbytes(workload.field_bytes) + value[end:]


def operations(workload: Workload, seed: int) -> Iterator[Operation]:
    """The stream that `seed` denotes."""
    random = Random(seed)
    kinds = (Kind.READ, Kind.UPDATE, Kind.READ_MODIFY_WRITE)
    bounds = (workload.read, workload.read + workload.update)
    total = bounds[1] + workload.read_modify_write
    # YCSB asks for numbers up to and including the record count, and asks again for that last one.
    scrambled = ScrambledZipfian(workload.records + 1)
    for _ in range(workload.operations):
        point = random.random() * total
        kind = kinds[(point >= bounds[0]) + (point >= bounds[1])]
        if workload.distribution == "uniform":
            number = random.randrange(workload.records)
        else:
            number = scrambled.number(random)
            while number >= workload.records:
                number = scrambled.number(random)
        yield Operation(kind, key_name(number), random.randrange(workload.fields))


def read_workload(path: Path) -> Workload:
    """A workload file of YCSB.

    Errors: WorkloadError, OSError.
    """
    try:
        return parse(path.read_text(encoding="utf-8", errors="replace"))
    except WorkloadError as error:
        raise WorkloadError(f"{path}: {error}") from None


def parse(text: str) -> Workload:
    """The properties of a workload file; what is not named has YCSB's default.

    Errors: WorkloadError.
    """
    properties = {"readproportion": "0.95", "updateproportion": "0.05"}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith(("#", "!")):
            continue
        name, equals, value = line.partition("=")
        if not equals:
            raise WorkloadError(f"line {number}: name=value expected")
        properties[name.strip()] = value.strip()
    shares = {name: _number(properties, name, 0.0) for name in PROPORTIONS}
    for name in ("insertproportion", "scanproportion"):
        if shares[name]:
            raise WorkloadError(f"{name}={shares[name]}: inserts and scans are not played")
    distribution = properties.get("requestdistribution", "uniform")
    if distribution not in DISTRIBUTIONS:
        raise WorkloadError(f"requestdistribution={distribution}: one of {DISTRIBUTIONS} expected")
    if sum(shares.values()) <= 0:
        raise WorkloadError("all proportions are 0")
    fields = int(_number(properties, "fieldcount", 10, least=1))
    field_bytes = int(_number(properties, "fieldlength", 100, least=1))
    if fields * field_bytes > RECORD_BYTES_MAX:
        raise WorkloadError(
            f"a record is {fields} fields of {field_bytes} bytes; "
            f"at most {RECORD_BYTES_MAX} bytes expected"
        )
    return Workload(
        read=shares["readproportion"],
        update=shares["updateproportion"],
        read_modify_write=shares["readmodifywriteproportion"],
        distribution=distribution,
        records=int(_number(properties, "recordcount", 1000, least=1)),
        operations=int(_number(properties, "operationcount", 1000)),
        fields=fields,
        field_bytes=field_bytes,
    )


def _number(properties: dict[str, str], name: str, default: float, least: float = 0) -> float:
    text = properties.get(name, str(default))
    try:
        number = float(text)
    except ValueError:
        raise WorkloadError(f"{name}={text}: not a number") from None
    if not least <= number < 2**53:
        raise WorkloadError(f"{name}={text}: at least {least} expected")
    return number
