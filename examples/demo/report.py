"""The demo's tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from examples.demo.measure import Cost


def table(title: str, result: dict[str, Any], cost: Cost, verified: str) -> Table:
    """One program's figures; `verified` says what was checked, and how it came out."""
    made = Table(title=title, title_justify="left", title_style="bold", show_header=False)
    made.add_column(style="dim")
    made.add_column()
    calls: int = result["calls"]
    made.add_row("calls/s", f"{result['calls_per_second']:,.0f}   ({calls:,} calls)")
    made.add_row(
        "latency p50 / p99 / p99.9",
        f"{result['p50_us']:,.0f} / {result['p99_us']:,.0f} / {result['p999_us']:,.0f} µs",
    )
    made.add_row("wire packets", f"{cost.packets:,}   ({cost.packets / max(calls, 1):.2f} a call)")
    made.add_row("retransmissions", f"{cost.retransmitted:,}")
    shares = {"client": float(result["cpu_us_per_call"]), **cost.cpu_us}
    made.add_row("CPU per call", f"{sum(shares.values()):.1f} µs on all processes together")
    made.add_row("", ", ".join(f"{name} {share:.1f}" for name, share in shares.items()))
    made.add_row("transport", result["transport"])
    made.add_row("verified", verified)
    return made
