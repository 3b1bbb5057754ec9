"""Confines the process of a sidecar, once all that it needs is open.

No capabilities, no way to new ones, and a list of the system calls that are left; te_process_harden
holds it. There is no way back, so an application that runs an engine inline never comes here.
"""

import logging

from transport_engine._native import ffi, lib
from transport_engine.config import SidecarConfig
from transport_engine.errors import ConfigError

log: logging.Logger = logging.getLogger("transport_engine.hardening")


def harden(config: SidecarConfig) -> None:
    """Gives up every right that the sidecar does not need, for all its threads.

    Errors: ConfigError where this machine cannot, which says how to do without.
    """
    if config.process.sandbox == "none":
        log.warning('sandbox = "none": this engine keeps all rights of its user')
        return
    why = ffi.new("char[]", lib.TE_WHY_BYTES)
    if lib.te_process_harden(config.engine.driver == "dpdk", why) != 0:
        raise ConfigError(f"process.sandbox: {ffi.string(why).decode()}")
