"""Every page of the documentation shows what happens: its snippets run as they stand there."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from machnet_rpc import cli
from tests.ahead import Ahead, ahead, asked
from tests.docs.network import ALONE, network_of_its_own
from tests.docs.snippets import is_run, mrpc_commands, snippets_of
from tests.tidy import tree
from tests.tidy.tree import ROOT
from transport_engine.config import load

READER_SECONDS = 150.0
PAGES = {str(file): file.text for file in tree.matching(".md") if file.path.name != "CHANGELOG.md"}


def run(page: str, folder: Path) -> tuple[int, str]:
    """A page's exit status and what it says."""
    argv = [sys.executable, "-m", "tests.docs.snippets", str(ROOT / page), str(folder)]
    with subprocess.Popen(
        [*ALONE, *argv],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as reader:
        try:
            said, _ = reader.communicate(timeout=READER_SECONDS)
        except subprocess.TimeoutExpired:
            reader.terminate()  # it ends what it started
            said, _ = reader.communicate()
    return reader.returncode, said


@pytest.fixture(scope="module")
def read(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ahead[str, tuple[int, str]]]:
    """Pages as they were run; each has a folder and a network of its own."""
    network_of_its_own()
    pages = asked(request, test_snippets_run, "page")
    with ahead(lambda page: run(page, tmp_path_factory.mktemp("page")), pages) as read:
        yield read


@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if is_run(text)])
def test_snippets_run(read: Ahead[str, tuple[int, str]], page: str) -> None:
    status, said = read[page]
    assert status == 0, said


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_those_of_mrpc(page: str) -> None:
    for snippet in snippets_of(PAGES[page]):
        if snippet.language in {"sh", "console"}:
            for words in mrpc_commands(snippet):
                if not {"-h", "--help"} & set(words):
                    cli._parser().parse_args(words)


@pytest.mark.parametrize("page", PAGES)
def test_configurations_are_valid(page: str, tmp_path: Path) -> None:
    for snippet in snippets_of(PAGES[page]):
        if snippet.language == "toml" and re.search(r"^\[engine\]", snippet.body, re.MULTILINE):
            path = tmp_path / "engine.toml"
            path.write_text(snippet.body, encoding="utf-8")
            load(path)
