"""What the documentation's site has beyond the pages in docs/: a hook of MkDocs.

The README is its first page. Files of the project to which pages link, and which are not in docs/,
become pages that show them. `<!-- mrpc -->` in a page stands for what `mrpc COMMAND --help` says,
`<!-- rest of machnet_rpc -->` for the public names of that package that the page has not named.
"""

import contextlib
import importlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from machnet_rpc import cli

ROOT: Final = Path(__file__).resolve().parents[2]
DOCS: Final = ROOT / "docs"
SHOWN: Final = "files"  # the folder of pages that show a file
LINK: Final = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=\))")
REST: Final = re.compile(r"<!-- rest of (\w+) -->")
SUBCOMMAND: Final = re.compile(r"^    (\w+) {2,}\S", re.MULTILINE)
LANGUAGES: Final = {".py": "python", ".toml": "toml", ".service": "ini"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the README, and what is linked to from it and from docs/."""
    files.append(File.generated(config, "index.md", content=_moved(ROOT / "README.md", "index.md")))
    seen: set[Path] = set()
    pages = [ROOT / "README.md", *(DOCS / file.src_uri for file in files if _is_written(file))]
    while pages:
        page = pages.pop()
        if page.suffix == ".md":
            found = {path for path in _linked(page) if not _is_page(path)} - seen
            seen |= found
            pages += found
    for path in sorted(seen):
        name = _place(path)
        files.append(File.generated(config, name, content=_shown(path, name)))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Leads links out of docs/ to the pages that show their files."""
    source = DOCS / page.file.src_uri
    if source.exists():
        markdown = _moved(source, page.file.src_uri)
    markdown = REST.sub(lambda match: _rest(match[1], markdown), markdown)
    return markdown.replace("<!-- mrpc -->", "\n".join(_commands([])))


def _is_written(file: File) -> bool:
    return file.is_documentation_page() and (DOCS / file.src_uri).exists()


def _is_page(path: Path) -> bool:
    return path.is_relative_to(DOCS) or path == ROOT / "README.md"


def _linked(page: Path) -> Iterator[Path]:
    """The files of the project to which a page links."""
    for match in LINK.finditer(page.read_text(encoding="utf-8")):
        path = (page.parent / match[1]).resolve()
        if "://" not in match[1] and path.exists():
            yield path


def _place(path: Path) -> str:
    """Where the site has a file of the project."""
    if path == ROOT / "README.md":
        return "index.md"
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    name = path.relative_to(ROOT).as_posix()
    return f"{SHOWN}/{name}" if path.suffix == ".md" else f"{SHOWN}/{name}.md"


def _moved(page: Path, name: str) -> str:
    """A page's text with links as they must be where the site has it."""

    def lead(match: re.Match[str]) -> str:
        path = (page.parent / match[1]).resolve()
        if "://" in match[1] or not path.exists():
            return match[0]
        return os.path.relpath(_place(path), Path(name).parent) + (match[2] or "")

    return LINK.sub(lead, page.read_text(encoding="utf-8"))


def _shown(path: Path, name: str) -> str:
    """The page that shows a file, or what is in a folder."""
    if path.suffix == ".md":
        return _moved(path, name)
    title = f"# {path.relative_to(ROOT)}\n\n"
    if path.is_dir():
        parts = [each for each in sorted(path.iterdir()) if each.is_file()]
        return title + "\n\n".join(f"## {each.name}\n\n{_fenced(each)}" for each in parts)
    return title + _fenced(path)


def _fenced(path: Path) -> str:
    language = LANGUAGES.get(path.suffix, "text")
    return f"~~~~{language}\n{path.read_text(encoding='utf-8')}~~~~\n"


def _rest(package: str, markdown: str) -> str:
    named = set(re.findall(r"^::: [\w.]*\.(\w+)$", markdown, re.MULTILINE))
    public: list[str] = importlib.import_module(package).__all__
    rest = [f"::: {package}.{name}" for name in public if name not in named]
    return "\n\n".join(["## More", *rest]) if rest else ""


def _commands(words: list[str]) -> Iterator[str]:
    """The help of a command and of those below it."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        cli.main([*words, "--help"])
    yield f"## {' '.join(['mrpc', *words])}\n\n~~~~text\n{said.getvalue()}~~~~\n"
    for command in SUBCOMMAND.findall(said.getvalue()):
        yield from _commands([*words, command])
