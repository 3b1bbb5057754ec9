"""The numbers in docs/wire.md are those that engines and applications give to each other."""

import re
from typing import Final

from machnet_rpc._method_id import method_id
from machnet_rpc._protocol.records import APP_KIND_LAST
from tests.tidy.tree import ROOT
from transport_engine._native import ffi

PAGE: Final = (ROOT / "docs/wire.md").read_text(encoding="utf-8")


def numbered(section: str) -> dict[int, str]:
    """The rows of the section's tables that begin with a number and a name in capitals."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", text, re.MULTILINE)
    return {int(number): name for number, name in rows}


def test_every_kind_between_applications_is_named() -> None:
    kinds: dict[int, str] = ffi.typeof("enum te_kind").elements
    named = {number: f"TE_{name}" for number, name in numbered("6. Messages").items()}
    assert named == {number: name for number, name in kinds.items() if number < APP_KIND_LAST}


def test_reasons_have_their_names() -> None:
    reasons: dict[int, str] = ffi.typeof("enum te_reason").elements
    named = {number: f"TE_R_{name}" for number, name in numbered("7. Ending").items()}
    assert named
    assert named.items() <= reasons.items()


def test_the_example_of_a_method_id() -> None:
    shown = re.search(r"`shop/price` is `(0x\w{16})`, its stream\s+`(0x\w{16})`", PAGE)
    assert shown is not None
    assert int(shown[1], 16) == method_id("shop", "price")
    assert int(shown[2], 16) == method_id("shop", "price", "server_stream")
