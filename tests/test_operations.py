"""The configuration reference names every key, and no other."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from transport_engine.config import (
    ControlConfig,
    Faults,
    Limits,
    ProcessConfig,
    Quotas,
    Reach,
    SidecarEngineConfig,
    TenantConfig,
)

PAGE = Path(__file__).resolve().parent.parent / "docs/operations.md"
TABLES: dict[str, type[BaseModel]] = {
    "engine": SidecarEngineConfig,
    "engine.limits": Limits,
    "engine.faults": Faults,
    "control": ControlConfig,
    "[tenants]": TenantConfig,
    "tenants.reach": Reach,
    "tenants.quotas": Quotas,
    "process": ProcessConfig,
}


@pytest.mark.parametrize("table", TABLES)
def test_reference_names_every_key(table: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    section = page.partition(f"### [{table}]\n")[2].partition("\n#")[0]
    named = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    subtables = {name.rpartition(".")[2] for name in TABLES if name.startswith(f"{table}.")}
    assert named == [key for key in TABLES[table].model_fields if key not in subtables]
