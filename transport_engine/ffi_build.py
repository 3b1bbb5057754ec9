"""Writes the C source of `transport_engine._native` from the public C headers.

Runs at build time only, and alone: meson calls it with the headers and the file to write. What
cffi learns is each header's text between its two markers, so there is no second copy of any layout.
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


def write_source(headers: list[Path], source_path: Path) -> None:
    """Generates the extension's source for the headers, in their order."""
    builder = cffi.FFI()
    for header in headers:
        builder.cdef(definitions(header.read_text(encoding="utf-8")))
    includes = "\n".join(f'#include "{header.name}"' for header in headers)
    builder.set_source("transport_engine._native", includes)
    builder.emit_c_code(str(source_path))


if __name__ == "__main__":
    write_source([Path(name) for name in sys.argv[1:-1]], Path(sys.argv[-1]))
