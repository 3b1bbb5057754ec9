"""`mrpc --help` and that of each command; what wrong usage shows, and what exit statuses mean."""

import argparse
import re

import pytest

from machnet_rpc import cli as mrpc
from machnet_rpc.cli import sim

Capture = pytest.CaptureFixture[str]
HELPS = [
    *(each.__name__.rpartition(".")[2] for each in mrpc.COMMANDS if each is not sim),
    *(f"schema {name}" for name in ("dump", "check", "export", "import")),
    "sim run",
]


def test_help_names_every_command(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        mrpc.main(["--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    for command in mrpc.COMMANDS:
        name = command.__name__.rpartition(".")[2]
        assert re.search(rf"^    {name} {{2,}}\S", out, re.MULTILINE)


def test_no_word_at_all_shows_what_there_is(capsys: Capture) -> None:
    assert mrpc.main([]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("usage: mrpc ")
    assert "try it:\n  mrpc serve " in said.err


@pytest.mark.parametrize("name", HELPS)
def test_help_says_what_the_exit_status_means(name: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        mrpc.main([*name.split(), "--help"])
    assert re.search(r"^exit status.*: 0 ", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize("name", HELPS)
def test_help_explains_every_argument(name: str) -> None:
    parser = mrpc._parser()
    for word in name.split():
        (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
        parser = commands.choices[word]
    for action in parser._actions:
        if action.help == argparse.SUPPRESS or isinstance(action, argparse._SubParsersAction):
            continue
        said = re.sub(r"\(?default:.*", "", action.help or "")
        assert len(said.split()) > 1, f"{action.metavar or action.dest} is not explained"


@pytest.mark.parametrize(
    ("argv", "usage"),
    [
        (["call", "127.0.0.1:7000", "a/b", "1", "2"], "usage: mrpc call "),
        (["flows", "127.0.0.1:7000"], "usage: mrpc flows "),
        (["schema", "dump", "--nothing", "a:b"], "usage: mrpc schema dump "),
        (["--nothing", "doctor"], "usage: mrpc [-h]"),
    ],
)
def test_a_word_too_many_shows_what_its_command_takes(
    argv: list[str], usage: str, capsys: Capture
) -> None:
    with pytest.raises(SystemExit, match="2"):
        mrpc.main(argv)
    assert capsys.readouterr().err.startswith(usage)
