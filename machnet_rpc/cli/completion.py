"""`mrpc completion`: the script by which a shell completes the words of `mrpc`.

The shell keeps it, so that to complete a word starts no `mrpc`. What it knows is all in the parser;
what a server offers is not: that is `mrpc ls`.
"""

import argparse
import json
from typing import Final

from machnet_rpc.cli.arguments import Commands, add_command

SHELLS: Final = ("bash", "zsh", "fish")
FILES: Final = ("FILE", "FILE.svg", "LOCK", "PATH", "PROTO", "SCENARIO.json", "SOCKET")
FOLDERS: Final = ("FOLDER",)
EPILOG: Final = """\
try it, in this shell:
  eval "$(mrpc completion bash)"
  autoload -U compinit && compinit && eval "$(mrpc completion zsh)"
  mrpc completion fish | source

for every shell from now on:
  mkdir -p ~/.local/share/bash-completion/completions ~/.zfunc ~/.config/fish/completions
  mrpc completion bash > ~/.local/share/bash-completion/completions/mrpc
  mrpc completion zsh > ~/.zfunc/_mrpc
  mrpc completion fish > ~/.config/fish/completions/mrpc.fish

bash reads that where its package bash-completion is installed; zsh with `fpath+=(~/.zfunc)` in
~/.zshrc before compinit. After an upgrade of `mrpc` write it again.

exit status: 0 done, 2 wrong usage
"""


def add(commands: Commands) -> None:
    """Declares the command."""
    parser = add_command(commands, "completion", run, "print what a shell completes `mrpc` by")
    parser.epilog = EPILOG
    parser.add_argument(
        "shell", metavar="SHELL", choices=SHELLS, help=f"one of {', '.join(SHELLS)}"
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit status."""
    script = script_of(arguments.program, arguments.shell)
    print(json.dumps(script) if arguments.json else script)
    return 0


def script_of(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script for one of SHELLS."""
    import shtab  # not before it is asked for: every command starts with this module

    pending = [parser]
    while pending:
        for action in pending.pop()._actions:  # noqa: SLF001  # argparse has no public name for it
            if isinstance(action.choices, dict):
                pending += action.choices.values()
            elif action.metavar in FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            elif action.metavar in FOLDERS:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    return shtab.complete(parser, shell)
