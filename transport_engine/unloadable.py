"""Why the extension module was not loaded, as a sentence that says what to do.

Knows nothing of what is in it.
"""

import re
import sys
from importlib import import_module
from typing import Final

# By their names, what brings libraries of a wheel to another Debian. Their numbers change with it.
PACKAGES: Final = {
    r"libsodium\.so\.(\d+)": r"libsodium\1",
    r"libseccomp\.so\.(\d+)": r"libseccomp\1",
    r"librte_\w+\.so\.(\d+)": r"librte-ethdev\1",
}
MODULE: Final = "transport_engine._native"
MISSING: Final = "cannot open shared object file"
FREE_THREADED: Final = (
    "this Python runs threads without a global interpreter lock, which the extensions need: take "
    "one with it"
)


def load() -> None:
    """Loads it. Errors: ImportError that says what to do."""
    if "t" in sys.abiflags:  # which would load the module of a built checkout, and crash
        raise ImportError(FREE_THREADED)
    try:
        import_module(MODULE)
    except ImportError as error:
        raise _explained(error) from None  # which says all that it said


def _explained(error: ImportError) -> ImportError:
    said = str(error)
    if error.name == MODULE and isinstance(error, ModuleNotFoundError):
        return ImportError(
            f"{said}: this is a checkout that is not built. Run `make build`, or, where "
            "machnet-rpc is installed, start Python in another folder"
        )
    for library, package in PACKAGES.items():
        found = re.match(library, said)
        if found is not None and MISSING in said:
            without = (
                "; or build the wheel on this system, or without DPDK, by "
                "--config-settings=setup-args=-Ddpdk=disabled"
                if said.startswith("librte_")
                else ""
            )
            return ImportError(
                f"{said}. machnet-rpc was built with this library: install it, on Debian by "
                f"`apt-get install {found.expand(package)}`{without}"
            )
    return error
