"""Why the extension module was not loaded, as a sentence that says what to do.

Knows nothing of what is in it.
"""

from importlib import import_module
from typing import Final

# By the beginning of their names, what brings libraries of a wheel to another Debian 12.
PACKAGES: Final = {
    "libsodium": "libsodium23",
    "libseccomp": "libseccomp2",
    "librte_": "librte-ethdev23",
}
MODULE: Final = "transport_engine._native"
MISSING: Final = "cannot open shared object file"


def load() -> None:
    """Loads it. Errors: ImportError that says what to do."""
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
    for prefix, package in PACKAGES.items():
        if said.startswith(prefix) and MISSING in said:
            without = (
                "; or build the wheel without DPDK, by -Csetup-args=-Ddpdk=disabled"
                if prefix == "librte_"
                else ""
            )
            return ImportError(
                f"{said}. machnet-rpc was built with this library: install it, on Debian 12 by "
                f"`apt-get install {package}`{without}"
            )
    return error
