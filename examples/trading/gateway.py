"""The order gateway: a desk behind its contract."""

import time

from examples.trading.contract import Gateway
from examples.trading.desk import Desk
from examples.trading.orders import (
    Answer,
    CancelOrder,
    Command,
    NewOrder,
    ReplaceOrder,
    Reports,
    SessionState,
    Snapshot,
)
from machnet_rpc import rpc


class OrderGateway(Gateway):
    """Every handler runs in one go, so commands execute in the order in which they arrive."""

    def __init__(self, desk: Desk | None = None) -> None:
        self.desk = Desk() if desk is None else desk

    def _execute(self, command: Command) -> Answer:
        return self.desk.execute(command, time.monotonic_ns())

    @rpc
    async def place(self, order: NewOrder) -> Answer:
        return self._execute(order)

    @rpc
    async def cancel(self, order: CancelOrder) -> Answer:
        return self._execute(order)

    @rpc
    async def replace(self, order: ReplaceOrder) -> Answer:
        return self._execute(order)

    @rpc
    async def session(self, session: str) -> SessionState:
        return self.desk.state(session)

    @rpc
    async def reports(self, session: str, after: int, limit: int) -> Reports:
        return self.desk.reports(session, after, limit)

    @rpc
    async def snapshot(self, depth: int) -> Snapshot:
        return self.desk.snapshot(depth)
