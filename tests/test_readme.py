"""The README's Makefile targets exist; its examples run with those of the other pages."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"^make (\w+)", README, re.MULTILINE))
    (rest,) = re.findall(r"`make` lists the rest: (.*?)\.$", README, re.MULTILINE)
    for target in named | set(re.findall(r"`(\w+)`", rest)):
        assert re.search(rf"^{target}:.*## ", makefile, re.MULTILINE), target
