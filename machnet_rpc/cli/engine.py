"""`mrpc engine`: run a sidecar, to which the applications of this machine attach."""

import argparse
import json
import logging
from pathlib import Path

from machnet_rpc.cli.arguments import Commands, add_command
from transport_engine.config import SidecarConfig, SidecarEngineConfig, load
from transport_engine.errors import ConfigError
from transport_engine.policy import Policy, described
from transport_engine.sidecar import run_sidecar

EPILOG = """\
Without --config it sends UDP through the kernel, on loopback only. With a configuration
([engine] driver = "dpdk") packets pass the kernel; `mrpc doctor` says what this machine lacks for
that. Applications find the socket by themselves, or by MRPC_SOCKET.

Root and the engine's own user may attach. [[tenants]] in the configuration lets others in: by user
or group, with the ports and peers that each may use, quotas and a weight. --check reads it, says
who may do what, and starts nothing. SIGTERM, or Ctrl-C, ends it, and with it all flows.

exit status: 0 it was ended, 2 the configuration is wrong, 3 it could not start, or failed
"""


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = add_command(commands, "engine", run, "run a sidecar for this machine's applications")
    parser.epilog = EPILOG
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML; see docs/operations.md")
    parser.add_argument("--socket", type=Path, metavar="PATH", help="where applications attach")
    parser.add_argument(
        "--cores",
        type=cores,
        metavar="N,N",
        help="processors, one thread for each, in place of engine.cores",
    )
    parser.add_argument("--check", action="store_true", help="say what FILE means, and stop")
    parser.add_argument("--verbose", action="store_true", help="log attaching and detaching")


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit status. The engine has an event loop of its own."""
    logging.basicConfig(level=logging.INFO if arguments.verbose else logging.WARNING)
    config = load(arguments.config) if arguments.config else SidecarConfig()
    if arguments.cores is not None:
        engine = config.engine.model_copy(update={"cores": arguments.cores})
        config = config.model_copy(update={"engine": engine})
    if arguments.check:
        said = described(Policy.of(config))
        print(json.dumps(said) if arguments.json else "\n".join(said))
        return 0
    if arguments.socket is not None:
        control = config.control.model_copy(update={"socket": arguments.socket})
        config = config.model_copy(update={"control": control})

    def on_ready(sentence: str) -> None:
        print(
            json.dumps({"ready": sentence}) if arguments.json else f"ready: {sentence}", flush=True
        )

    run_sidecar(config, on_ready)
    return 0


def cores(text: str) -> tuple[int, ...]:
    """Processors, separated by commas, for argparse."""
    try:
        numbers = tuple(int(word) for word in text.split(","))
        return SidecarEngineConfig(cores=numbers).cores
    except (ValueError, ConfigError):
        raise argparse.ArgumentTypeError(
            f"{text!r} are not processors, each once, with commas between, as in 2,3"
        ) from None
