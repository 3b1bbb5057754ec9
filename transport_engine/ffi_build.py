"""Writes the C source of `transport_engine._native` from the public C header.

Runs at build time only, and alone: meson calls it with the header and the file to write. What
cffi learns is the header's text between its two markers, so there is no second copy of any layout.
"""

import sys
from pathlib import Path

import cffi

BEGIN = "/* cffi: begin */"
END = "/* cffi: end */"


def definitions(header: str) -> str:
    """The part of the header that cffi is given.

    Errors: ValueError where a marker is missing or stands twice.
    """
    for marker in (BEGIN, END):
        if header.count(marker) != 1:
            raise ValueError(f"the header must hold {marker!r} exactly once")
    return header.partition(BEGIN)[2].partition(END)[0]


def write_source(header_path: Path, source_path: Path) -> None:
    """Generates the extension's source for the header at `header_path`."""
    builder = cffi.FFI()
    builder.cdef(definitions(header_path.read_text(encoding="utf-8")))
    builder.set_source("transport_engine._native", f'#include "{header_path.name}"')
    builder.emit_c_code(str(source_path))


if __name__ == "__main__":
    write_source(Path(sys.argv[1]), Path(sys.argv[2]))
