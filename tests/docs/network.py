"""A network of its own for a command: pages may name ports, and nothing comes from elsewhere."""

import os
import subprocess

import pytest

ALONE = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]


def network_of_its_own() -> list[str]:
    """The words before a command that give it one; skips where it cannot be had."""
    argv = [*ALONE, "ip", "link", "set", "lo", "up"]
    tried = subprocess.run(argv, check=False, capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"no network namespace to be had: {tried.stderr.strip()}")
    return ALONE
