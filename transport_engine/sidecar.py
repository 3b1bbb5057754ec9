"""A process that runs an engine for many applications.

The control plane has the main thread, the engine one of its own for each of its cores. A signal
lets the flows end, then stops; a second one does not wait, and later ones are ignored. Nothing is
left behind.
"""

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import Final

from transport_engine.config import SidecarConfig, default_socket_path
from transport_engine.control import ControlServer
from transport_engine.descriptors import check_descriptors
from transport_engine.hardening import harden
from transport_engine.policy import Policy
from transport_engine.rendezvous import Rendezvous
from transport_engine.team import Engines, open_engines
from transport_engine.threads import ENDING, unsignalled

DRAIN_PAUSE_SECONDS: Final = 0.01

log: logging.Logger = logging.getLogger("transport_engine.sidecar")


def run_sidecar(config: SidecarConfig, on_ready: Callable[[str], None]) -> None:
    """Serves until a signal; `on_ready` gets a sentence that says where, once it does.

    Thread: the main one, of a process that then ends: it ignores further signals.
    Errors: TransportError when it cannot start.
    """
    path = config.control.socket or default_socket_path()
    policy = Policy.of(config)
    check_descriptors()
    with Rendezvous(path, config.control.group) as place, open_engines(config.engine) as engine:
        harden(config)
        engine.start()
        for tenant in (policy.owner, *policy.tenants):
            engine.set_share(tenant.share, tenant.terms)
        server = ControlServer(engine, policy, place.socket)
        cores = f", {len(config.engine.cores)} cores" if config.engine.cores else ""
        where = f"engine on {engine.local} ({engine.driver}{cores})"
        sentence = f"{where}, applications attach at {path}"
        asyncio.run(_serve(engine, server, config, lambda: on_ready(sentence)))


async def _serve(
    engine: Engines, server: ControlServer, config: SidecarConfig, on_ready: Callable[[], None]
) -> None:
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    asked_twice = asyncio.Event()

    def on_signal() -> None:
        (asked_twice if asked.is_set() else asked).set()

    is_kept = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # by nohup
    signals = [each for each in ENDING if each is not signal.SIGHUP or not is_kept]
    for number in signals:
        loop.add_signal_handler(number, on_signal)
    try:
        server.start()
        on_ready()
        await asked.wait()
        server.refuse()
        await _drain(engine, config.control.drain_seconds, asked_twice)
    finally:
        server.close()
        with unsignalled():  # what is removed would end the process half-way
            for number in signals:
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_IGN)


async def _drain(engine: Engines, seconds: float, asked_twice: asyncio.Event) -> None:
    """Lets the flows end, for a bounded time."""
    engine.drain()
    tries = round(seconds / DRAIN_PAUSE_SECONDS)
    for _ in range(tries):
        if asked_twice.is_set() or engine.stats()["flows_open"] == 0:
            return
        await asyncio.sleep(DRAIN_PAUSE_SECONDS)
    log.warning("%d flows did not end in %s s", engine.stats()["flows_open"], seconds)
