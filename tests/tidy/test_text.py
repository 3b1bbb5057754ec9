"""Text: links resolve, and nothing in it belongs to one machine only."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.tidy import tree
from tests.tidy.tree import ROOT, File

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CITED = re.compile(r"\bdocs/[\w/-]+\.md\b")
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
# Where packages come from, and where a checkout lies, is each machine's own affair.
FOREIGN = re.compile(
    r"pypi[.]org|pythonhosted|npmjs[.]|deb[.]debian|(?<![\w.])/work/"  # tidy: the rule itself
)


def test_links_resolve() -> None:
    dangling = [f"{file}: {target}" for file, target in _links() if not _resolves(file, target)]
    assert not dangling, "\n".join(dangling)


def _links() -> Iterator[tuple[File, str]]:
    for file in tree.matching(".md"):
        for target in LINK.findall(FENCED.sub("", file.text)):
            if "://" not in target and not target.startswith("mailto:"):
                yield file, target


def _resolves(file: File, target: str) -> bool:
    name, _, anchor = target.partition("#")
    path = (ROOT / file.path).parent / name if name else ROOT / file.path
    if not path.exists():
        return False
    return not anchor or anchor in _anchors(path)


def _anchors(path: Path) -> set[str]:
    """The headings of a page as GitHub makes them into anchors."""
    headings = HEADING.findall(FENCED.sub("", path.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_rows_of_tables_are_closed() -> None:
    texts = {file: FENCED.sub("", file.text) for file in tree.matching(".md")}
    rows = ((file, row) for file, text in texts.items() for row in text.splitlines())
    is_open = [f"{file}: {row}" for file, row in rows if re.match(r"\|.*[^|]$", row)]
    assert not is_open, "\n".join(is_open)


def test_cited_pages_exist() -> None:
    cited = {
        f"{file}: {page}"
        for file in tree.files()
        for page in CITED.findall(file.text)
        if not (ROOT / page).exists()
    }
    assert not cited, "\n".join(sorted(cited))


def test_nothing_names_one_machine() -> None:
    foreign = [
        f"{file}: {line.strip()}"
        for file in tree.files()
        for line in file.lines
        if FOREIGN.search(line) and not line.endswith("# tidy: the rule itself")
    ]
    assert not foreign, "\n".join(foreign)


def test_lines_end_cleanly() -> None:
    untidy: list[str] = []
    for file in tree.matching(".c", ".h", ".py", ".md", ".toml", ".build", ".txt"):
        if file.text and not file.text.endswith("\n"):
            untidy.append(f"{file}: no newline at the end")
        for number, line in enumerate(file.lines, 1):
            if line != line.rstrip() or "\t" in line:
                untidy.append(f"{file}:{number}: tab or space at the end")
    assert not untidy, "\n".join(untidy)
