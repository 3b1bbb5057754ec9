"""docs/congestion.md names every constant of congestion control and loss, and its present value."""

from pathlib import Path

import pytest

from tests.sim import constants
from tests.sim.variants import Toolchain, swarm_with


def test_names_are_unique() -> None:
    names = [constant.name for constant in constants.constants()]
    assert len(names) == len(set(names)) > 40


def test_page_has_every_constant_and_its_value() -> None:
    page = {name: row.value for name, row in constants.rows().items()}
    assert page == {constant.name: constant.shown for constant in constants.constants()}


def test_page_says_where_each_comes_from() -> None:
    assert constants.without_origin(constants.constants(), constants.rows()) == []


@pytest.mark.parametrize(
    ("expression", "value"),
    [("1 << 30", 1 << 30), ("0x10u", 16), ("2 * (OTHER + 1)", 8), ("7 / 2", 3), ("205", 205)],
)
def test_values_of_expressions(expression: str, value: int) -> None:
    assert constants.evaluated(expression, {"OTHER": 3}) == value


@pytest.mark.parametrize("expression", ["UNKNOWN", "sizeof(int)", "1.5"])
def test_what_cannot_be_told_is_said(expression: str) -> None:
    with pytest.raises(ValueError, match="cannot tell"):
        constants.evaluated(expression, {})


def test_variants_go_away_from_the_value() -> None:
    constant = constants.Constant("flow/x.c", "SHIFT", 3, " SHIFT = 3,")
    assert [each.wrong for each in constant.mutations()] == [" SHIFT = 1,", " SHIFT = 5,"]


def test_a_changed_header_reaches_the_objects(tmp_path: Path) -> None:
    headers = [each for each in constants.constants() if each.file == "flow/ledger.h"]
    threshold = next(each for each in headers if each.name == "PACKET_THRESHOLD")
    toolchain, seeds = Toolchain(tmp_path), range(2)
    right = swarm_with(toolchain.library(), seeds)
    wrong = swarm_with(toolchain.library(threshold.mutations()[0]), seeds)
    assert [answer["verdict"] for answer in right + wrong] == ["pass"] * 4
    assert right != wrong
