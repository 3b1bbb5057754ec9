"""The snippets of a Markdown page, and how they are run: as a reader who follows the page would.

Every page has a folder. Its fenced blocks are taken from top to bottom:

- one with a title (```python title="store.py") is written to that file;
- a `python` block without one is a program, and what it prints is the `text` block that follows;
- in a `console` block each line after "$ " is a command, and what follows is its output. One that
  ends with "&" goes on until "kill %%", which ends the newest, or the end of the page. By number
  none is named: which one a shell gives depends on what it has seen end before;
- a `sh` block needs what a test has not: only its `mrpc` commands are read, as `mrpc` reads them.

"..." in an output stands for anything, as in doctest. No output of a program is on stderr.
"""

import contextlib
import doctest
import os
import re
import selectors
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

COMMAND_SECONDS: Final = 60.0
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?(?P<rest>[^\n]*)\n"
    r"(?P<body>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
COMMAND = re.compile(r"^\$ (.*(?:\n> .*)*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
LANGUAGES: Final = {"", "console", "ini", "json", "proto", "python", "sh", "text", "toml"}


class SnippetError(AssertionError):
    """A page shows what does not happen."""


@dataclass(frozen=True, slots=True)
class Snippet:
    """One fenced block; `line` is that of its fence."""

    line: int
    language: str
    title: str
    body: str


def snippets_of(page: str) -> list[Snippet]:
    """The fenced blocks of a page. Errors: SnippetError for one of a kind that nobody runs."""
    found: list[Snippet] = []
    for match in FENCE.finditer(page):
        line = page.count("\n", 0, match.start()) + 1
        if match["rest"] or match["language"] not in LANGUAGES:
            raise SnippetError(f"line {line}: no such block: {match[0].splitlines()[0]}")
        body = re.sub(rf"^{match['indent']}", "", match["body"], flags=re.MULTILINE)
        found.append(Snippet(line, match["language"], match["title"] or "", body))
    if len(found) * 2 != len(re.findall(r"^ *```", page, re.MULTILINE)):
        raise SnippetError("a block is not closed")
    return found


def is_run(page: str) -> bool:
    """Whether there is anything to run."""
    return any(each.title or each.language in {"console", "python"} for each in snippets_of(page))


class Reader:
    """Follows one page. Owner: whoever enters it; then what it started has ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._jobs: list[subprocess.Popen[str]] = []
        paths = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._environment = os.environ | {
            "PATH": paths,
            "MRPC_SOCKET": str(folder / "engine.sock"),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "PYTHONWARNINGS": "error",
            "COLUMNS": "80",
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for job in reversed(self._jobs):  # applications before their engine
            _end(job)

    def follow(self, page: str) -> None:
        """Runs everything. Errors: SnippetError."""
        snippets = snippets_of(page)
        for snippet, following in zip(snippets, [*snippets[1:], None], strict=True):
            try:
                self._take(snippet, following)
            except SnippetError as error:
                raise SnippetError(f"line {snippet.line}: {error}") from None
        told = "".join(each.body for each in snippets if each.language == "console")
        titles = {each.title for each in snippets if each.title.endswith(".py")}
        self._import({title for title in titles if Path(title).stem not in told})

    def _take(self, snippet: Snippet, following: Snippet | None) -> None:
        if snippet.title:
            path = self._folder / snippet.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(snippet.body, encoding="utf-8")
        elif snippet.language == "python":
            (self._folder / "program.py").write_text(snippet.body, encoding="utf-8")
            is_shown = following is not None and following.language == "text"
            self._run("python program.py", following.body if following and is_shown else None)
        elif snippet.language == "console":
            for command, output in COMMAND.findall(snippet.body):
                self._command(command.replace("\n> ", "\n"), output)

    def _command(self, command: str, output: str) -> None:
        if command == "kill %%":
            _end(self._jobs.pop())
        elif command.endswith(" &"):
            self._jobs.append(self._start(command.removesuffix(" &")))
            said = _first_lines(self._jobs[-1], output.count("\n"))
            _compare(command, output, said)
        else:
            self._run(command, output)

    def _run(self, command: str, output: str | None) -> None:
        job = self._start(command)
        try:
            said, _ = job.communicate(timeout=COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            _end(job)
            raise SnippetError(f"{command}: no end after {COMMAND_SECONDS:g} s") from None
        if job.returncode != 0:
            raise SnippetError(f"{command}: exit status {job.returncode}\n{said}")
        if output is not None:
            _compare(command, output, said)

    def _start(self, command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-c", command],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _import(self, titles: set[str]) -> None:
        """What is written and run by no command must at least find what it imports."""
        modules = sorted(titles)
        load = "import runpy, sys\nfor name in sys.argv[1:]: runpy.run_path(name, run_name='page')"
        if modules:
            self._run(f"python -c {shlex.quote(load)} {shlex.join(modules)}", "")


def _end(job: subprocess.Popen[str]) -> None:
    """Ends a command and what it started, as Ctrl-C in its terminal would."""
    for number, seconds in ((signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            job.wait(seconds)
            break
    if job.stdout is not None:
        job.stdout.close()


def _first_lines(job: subprocess.Popen[str], count: int) -> str:
    """The first lines that a command prints which goes on."""
    assert job.stdout is not None
    late = time.monotonic() + COMMAND_SECONDS
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(job.stdout, selectors.EVENT_READ)
        while said.count(b"\n") < count and selector.select(late - time.monotonic()):
            some = os.read(job.stdout.fileno(), 1)
            if not some:
                break
            said += some
    return said.decode()


def _compare(command: str, expected: str, said: str) -> None:
    if not doctest.OutputChecker().check_output(expected, said, doctest.ELLIPSIS):
        raise SnippetError(f"{command}\nprints\n{said}\nand the page says\n{expected}")


def mrpc_commands(snippet: Snippet) -> Iterator[list[str]]:
    """The arguments of each `mrpc` in a block of shell."""
    text = snippet.body.replace("\\\n", " ")
    for line in text.splitlines():
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word[0] in "();<>|&":
                if words[:1] == ["mrpc"]:
                    yield words[1:]
                words = []
            else:
                words.append(word)


def main(argv: list[str]) -> int:
    """Follows the page argv[0] in the folder argv[1], alone on a network of its own."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended before the page did"))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    page, folder = Path(argv[0]), Path(argv[1])
    with Reader(folder) as reader:
        try:
            reader.follow(page.read_text(encoding="utf-8"))
        except SnippetError as error:
            print(f"{page.name}, {error}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
