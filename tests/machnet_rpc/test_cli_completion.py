"""What shells make of `mrpc completion`: each is asked itself, where it is installed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from machnet_rpc import cli as mrpc
from machnet_rpc.cli.completion import SHELLS, script_of

ASKED = [
    ("sch", ["schema"]),
    ("schema ", ["dump", "check", "export", "import"]),
    ("schema export --to ", ["jsonschema", "markdown", "proto"]),
    ("call --pri", ["--priority"]),
    ("completion ", ["bash", "fish", "zsh"]),
    ("engine --config eng", ["engine.toml"]),
]
BASH = """
source "$1"
COMP_WORDS=(mrpc $2)
if [[ $2 == *" " ]]; then COMP_WORDS+=(""); fi
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_shtab_mrpc mrpc "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
FISH = 'source $argv[1]; complete -C "mrpc $argv[2]"'
ZSH = 'autoload -U compinit && compinit -u -D && eval "$(cat "$1")" && print -r -- $_comps[mrpc]'


def _asked(shell: str, words: list[str], folder: Path) -> list[str]:
    """The first words of the lines that a shell prints; "SCRIPT" stands for the file's name."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    script = folder / "script"
    script.write_text(script_of(mrpc._parser(), shell), encoding="utf-8")
    done = subprocess.run(
        [program, *(str(script) if word == "SCRIPT" else word for word in words)],
        check=True,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    return [line.split()[0] for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize(("typed", "offered"), ASKED)
def test_bash(typed: str, offered: list[str], tmp_path: Path) -> None:
    (tmp_path / "engine.toml").touch()
    found = _asked("bash", ["-c", BASH, "bash", "SCRIPT", typed], tmp_path)
    assert set(offered) <= set(found)
    assert len(found) <= len(offered) + 2  # of a command without a word its options, too


@pytest.mark.parametrize(("typed", "offered"), ASKED)
def test_fish(typed: str, offered: list[str], tmp_path: Path) -> None:
    (tmp_path / "engine.toml").touch()
    assert set(_asked("fish", ["--no-config", "-c", FISH, "SCRIPT", typed], tmp_path)) == set(
        offered
    )


def test_zsh(tmp_path: Path) -> None:
    assert _asked("zsh", ["-f", "-c", ZSH, "zsh", "SCRIPT"], tmp_path) == ["_shtab_mrpc"]


@pytest.mark.parametrize("shell", SHELLS)
def test_each_knows_every_command_and_option(shell: str) -> None:
    script = script_of(mrpc._parser(), shell)
    for command in mrpc.COMMANDS:
        assert command.__name__.rpartition(".")[2] in script
    assert "in-flight" in script
    assert "held" not in script


def test_other_commands_do_not_load_what_writes_it() -> None:
    code = "import sys, machnet_rpc.cli; sys.exit('shtab' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
