"""Where real input lies, if it is there at all: no program here depends on it."""

from __future__ import annotations

import os
from pathlib import Path

LOBSTER_HOUR = Path("lobster/AAPL_2012-06-21_34200000_37800000_message_50.csv")
OLTP_TRACE = Path("cache/OLTP.lis.zst")
YCSB_WORKLOADS = Path("ycsb")


class DataMissingError(Exception):
    """A file of real input is not there; says where it was looked for."""


def data_directory() -> Path:
    """The directory named by `MRPC_DATA`, else `shared/data` beside the checkout."""
    named = os.environ.get("MRPC_DATA")
    if named:
        return Path(named)
    return Path(__file__).resolve().parents[2] / "shared" / "data"


def find(relative: Path) -> Path | None:
    """The path of a data file, or None where it is absent."""
    path = data_directory() / relative
    return path if path.exists() else None


def named_or_found(named: Path | None, relative: Path, otherwise: str) -> Path:
    """The file that the user named, else the data file; `otherwise`: what can be played without it.

    Errors: DataMissingError.
    """
    path = named or data_directory() / relative
    if path.is_file():
        return path
    missing = f"there is no file {path}"
    if named is None:
        missing += (
            f"; name one, set MRPC_DATA to the directory that holds {relative}, or {otherwise}"
        )
    raise DataMissingError(missing)
