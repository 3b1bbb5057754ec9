"""`mrpc doctor`: what this machine lacks for fast packets, and the command that mends it."""

import argparse
import dataclasses
import json
import textwrap
from collections.abc import Sequence
from typing import Final

from machnet_rpc.cli.arguments import Commands, add_command
from transport_engine.doctor import examine
from transport_engine.machine import Finding, Machine

WIDTH: Final = 96
EPILOG: Final = """\
✓ is there; ! works, but not as well as it could; ✗ is missing, and → is the command that mends it.
It changes nothing.

exit status: 0 nothing is missing, 1 something is
"""
_SIGNS: Final = {"ok": "✓", "warn": "!", "missing": "✗"}


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = add_command(commands, "doctor", run, "say what this machine lacks for fast packets")
    parser.epilog = EPILOG


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit status: 1 if something is missing."""
    findings = examine(Machine.here())
    if arguments.json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        print("\n".join(table(findings)))
    return int(any(finding.level == "missing" for finding in findings))


def table(findings: Sequence[Finding]) -> list[str]:
    """One row for each finding, and under it the command that mends it."""
    name_width = max(len(finding.name) for finding in findings)
    indent = " " * (name_width + 4)
    lines: list[str] = []
    for finding in findings:
        head = f"{_SIGNS[finding.level]} {finding.name:<{name_width}}  "
        lines += textwrap.wrap(
            finding.sentence, WIDTH, initial_indent=head, subsequent_indent=indent
        )
        if finding.command is not None:
            lines.append(f"{indent}→ {finding.command}")
    return lines
