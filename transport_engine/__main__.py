"""`python -m transport_engine`: runs a sidecar."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from transport_engine.config import SidecarConfig, load
from transport_engine.errors import TransportError
from transport_engine.sidecar import run_sidecar

EXIT_FAILED: Final = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the process's exit status."""
    parser = argparse.ArgumentParser(prog="python -m transport_engine", description=__doc__)
    parser.add_argument("--config", type=Path, help="TOML file; without it an engine on loopback")
    parser.add_argument("--socket", type=Path, help="where applications attach")
    parser.add_argument("--verbose", action="store_true", help="log attaching and detaching")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO if arguments.verbose else logging.WARNING)
    try:
        config = load(arguments.config) if arguments.config else SidecarConfig()
        if arguments.socket is not None:
            control = config.control.model_copy(update={"socket": arguments.socket})
            config = config.model_copy(update={"control": control})
        run_sidecar(config, lambda sentence: print(f"ready: {sentence}", flush=True))
    except TransportError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
