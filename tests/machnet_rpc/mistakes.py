"""Mistakes that users make, each with the rule by which either type checker rejects it.

A mistake is one line of a program; beside it stands the line that was meant, which both accept.
"""

from dataclasses import dataclass
from typing import Final

PREAMBLE: Final = """
from collections.abc import AsyncIterator

from machnet_rpc import (
    Client,
    Code,
    Limits,
    RetryPolicy,
    RpcError,
    Sender,
    connect,
    rpc,
    serve,
    service,
    sync,
)
from machnet_rpc.testing import test_client
from machnet_rpc.tracing import propagate


class Order:
    pass


class Ack:
    pass


@service("gateway")
class Gateway:
    @rpc(timeout=1.0)
    async def place(self, order: Order) -> Ack:
        raise NotImplementedError

    @rpc
    def fills(self, key: str) -> AsyncIterator[Ack]:
        raise NotImplementedError

    @rpc
    async def upload(self, orders: AsyncIterator[Order]) -> Ack:
        raise NotImplementedError


@service("ledger")
class Ledger:
    @rpc
    async def total(self) -> int:
        raise NotImplementedError


async def some_orders() -> AsyncIterator[Order]:
    yield Order()


async def some_words() -> AsyncIterator[str]:
    yield ""


def wants_ledger(ledger: Ledger) -> None:
    pass
""".lstrip()


@dataclass(frozen=True, slots=True)
class Mistake:
    """`wrong` and `right` go where `{}` is in `around`; the checkers' words name their rules."""

    name: str
    wrong: str
    right: str
    mypy: str
    pyright: str
    around: str = "    {}"

    def program(self, line: str) -> str:
        """A class or a coroutine of its own, with that line in it."""
        body = self.around.replace("{}", line)
        if self.around.startswith("class"):
            return body
        loop = "def" if "blocking" in self.name else "async def"
        kind = "sync.Client" if "blocking" in self.name else "Client"
        return f"{loop} {self.name}(client: {kind}) -> None:\n{body}"


CALL: Final = "reportCallIssue"
ARGUMENT: Final = "reportArgumentType"
DESK: Final = "class {name}(Gateway):\n    @rpc\n    {}\n        raise NotImplementedError"

MISTAKES: Final = (
    Mistake(
        "argument_of_wrong_type",
        'await client.stub(Gateway).place("order")',
        "await client.stub(Gateway).place(Order())",
        "arg-type",
        ARGUMENT,
    ),
    Mistake(
        "argument_missing",
        "await client.stub(Gateway).place()",
        "await client.stub(Gateway).place(Order())",
        "call-arg",
        CALL,
    ),
    Mistake(
        "argument_misspelt",
        "await client.stub(Gateway).place(odrer=Order())",
        "await client.stub(Gateway).place(order=Order())",
        "call-arg",
        CALL,
    ),
    Mistake(
        "result_taken_for_another_type",
        "total: str = await client.stub(Ledger).total()",
        "total: int = await client.stub(Ledger).total()",
        "assignment",
        "reportAssignmentType",
    ),
    Mistake(
        "await_missing",
        "client.stub(Gateway).place(Order())",
        "await client.stub(Gateway).place(Order())",
        "unused-coroutine",
        "reportUnusedCoroutine",
    ),
    Mistake(
        "result_used_without_await",
        "total: int = client.stub(Ledger).total()",
        "total: int = await client.stub(Ledger).total()",
        "assignment",
        "reportAssignmentType",
    ),
    Mistake(
        "stream_iterated_without_async",
        'print([ack for ack in client.stub(Gateway).fills("a")])',
        'print([ack async for ack in client.stub(Gateway).fills("a")])',
        "attr-defined",
        "reportGeneralTypeIssues",
    ),
    Mistake(
        "stream_awaited",
        'await client.stub(Gateway).fills("a")',
        'await anext(client.stub(Gateway).fills("a"))',
        "misc",
        "reportGeneralTypeIssues",
    ),
    Mistake(
        "call_iterated_as_a_stream",
        "print([ack async for ack in client.stub(Gateway).place(Order())])",
        'print([ack async for ack in client.stub(Gateway).fills("a")])',
        "attr-defined",
        "reportGeneralTypeIssues",
    ),
    Mistake(
        "implementation_takes_another_type",
        "async def place(self, order: str) -> Ack:",
        "async def place(self, order: Order) -> Ack:",
        "override",
        "reportIncompatibleVariableOverride",
        DESK.replace("{name}", "TakesText"),
    ),
    Mistake(
        "implementation_takes_more",
        "async def place(self, order: Order, key: str) -> Ack:",
        "async def place(self, order: Order) -> Ack:",
        "override",
        "reportIncompatibleVariableOverride",
        DESK.replace("{name}", "TakesMore"),
    ),
    Mistake(
        "implementation_gives_another_type",
        "async def place(self, order: Order) -> str:",
        "async def place(self, order: Order) -> Ack:",
        "override",
        "reportIncompatibleVariableOverride",
        DESK.replace("{name}", "GivesText"),
    ),
    Mistake(
        "option_unknown",
        "await client.stub(Gateway).place.using(retries=1)(Order())",
        "await client.stub(Gateway).place.using(timeout=1)(Order())",
        "call-arg",
        CALL,
    ),
    Mistake(
        "option_of_wrong_type",
        'await client.stub(Gateway).place.using(timeout="1 s")(Order())',
        "await client.stub(Gateway).place.using(timeout=1.0)(Order())",
        "arg-type",
        ARGUMENT,
    ),
    Mistake(
        "stub_of_another_contract",
        "wants_ledger(client.stub(Gateway))",
        "wants_ledger(client.stub(Ledger))",
        "arg-type",
        ARGUMENT,
    ),
    Mistake(
        "stub_of_an_instance",
        "wants_ledger(client.stub(Ledger()))",
        "wants_ledger(client.stub(Ledger))",
        "arg-type",
        ARGUMENT,
    ),
    Mistake(
        "method_unknown",
        "await client.stub(Gateway).plaice(Order())",
        "await client.stub(Gateway).place(Order())",
        "attr-defined",
        "reportAttributeAccessIssue",
    ),
    Mistake(
        "item_of_wrong_type",
        "await client.stub(Gateway).upload(some_words())",
        "await client.stub(Gateway).upload(some_orders())",
        "arg-type",
        ARGUMENT,
    ),
    Mistake(
        "item_sent_of_wrong_type",
        'await Sender[Order]().send("order")',
        "await Sender[Order]().send(Order())",
        "arg-type",
        ARGUMENT,
    ),
    Mistake(
        "error_that_is_no_exception",
        "@rpc(errors=[Order])",
        "@rpc(errors=[KeyError])",
        "list-item",
        ARGUMENT,
        "class Erring:\n    {}\n    async def get(self) -> int:\n        raise NotImplementedError",
    ),
    Mistake(
        "call_by_method_with_wrong_argument",
        "await client.call(Gateway.place, 5)",
        "await client.call(Gateway.place, Order())",
        "call-overload",
        ARGUMENT,
    ),
    Mistake(
        "call_by_method_of_a_stream",
        'await client.call(Gateway.fills, "a")',
        'await anext(client.stream(Gateway.fills, "a"))',
        "call-overload",
        ARGUMENT,
    ),
    Mistake(
        "many_calls_with_wrong_items",
        'await client.call_many(Gateway.place, ["order"])',
        "await client.call_many(Gateway.place, [Order()])",
        "arg-type",
        ARGUMENT,
    ),
    Mistake(
        "address_that_is_a_pair",
        'connect(("127.0.0.1", 7000))',
        'connect("127.0.0.1:7000")',
        "arg-type",
        ARGUMENT,
    ),
    Mistake(
        "server_entered_without_async",
        'with serve(Ledger(), "127.0.0.1:0") as server: print(server)',
        'async with serve(Ledger(), "127.0.0.1:0") as server: print(server)',
        "attr-defined",
        "reportGeneralTypeIssues",
    ),
    Mistake(
        "blocking_result_for_another_type",
        "total: str = client.call(Ledger.total)",
        "total: int = client.call(Ledger.total)",
        "assignment",
        "reportAssignmentType",
    ),
    Mistake(
        "blocking_call_with_wrong_argument",
        'client.method(Gateway.place)("order")',
        "client.method(Gateway.place)(Order())",
        "arg-type",
        ARGUMENT,
    ),
    Mistake(
        "blocking_option_unknown",
        "client.method(Gateway.place).using(retries=1)(Order())",
        "client.method(Gateway.place).using(timeout=1)(Order())",
        "call-arg",
        CALL,
    ),
    Mistake(
        "blocking_metadata_of_wrong_type",
        'client.method(Gateway.place).using(metadata={"tenant": 5})(Order())',
        'client.method(Gateway.place).using(metadata={"tenant": "5"})(Order())',
        "dict-item",
        ARGUMENT,
    ),
    Mistake(
        "blocking_middleware_that_is_none",
        'sync.connect("127.0.0.1:7000", middleware=[print])',
        'sync.connect("127.0.0.1:7000", middleware=[propagate])',
        "list-item",
        ARGUMENT,
    ),
    Mistake(
        "stream_entered_without_async",
        'with client.stub(Gateway).fills("a") as fills: print(fills)',
        'async with client.stub(Gateway).fills("a") as fills: print(fills)',
        "attr-defined",
        "reportGeneralTypeIssues",
    ),
    Mistake(
        "items_that_are_a_list",
        "await client.stub(Gateway).upload([Order()])",
        "await client.stub(Gateway).upload(some_orders())",
        "arg-type",
        ARGUMENT,
    ),
    Mistake(
        "priority_that_is_text",
        'await client.stub(Gateway).place.using(priority="0")(Order())',
        "await client.stub(Gateway).place.using(priority=0)(Order())",
        "arg-type",
        ARGUMENT,
    ),
    Mistake(
        "retries_that_are_a_number",
        'connect("127.0.0.1:7000", retries=3)',
        'connect("127.0.0.1:7000", retries=RetryPolicy(attempts_max=3))',
        "arg-type",
        ARGUMENT,
    ),
    Mistake(
        "limit_misspelt",
        "Limits(handler=3)",
        "Limits(handlers=3)",
        "call-arg",
        CALL,
    ),
    Mistake(
        "fault_misspelt",
        "test_client(Ledger(), dorp=0.1)",
        "test_client(Ledger(), drop=0.1)",
        "call-arg",
        CALL,
    ),
    Mistake(
        "stub_of_a_name",
        'client.stub("ledger").total',
        "client.stub(Ledger).total",
        "arg-type",
        ARGUMENT,
    ),
    Mistake(
        "transport_misread",
        "print(client.transport.rungs)",
        "print(client.transport.rung)",
        "attr-defined",
        "reportAttributeAccessIssue",
    ),
    Mistake(
        "blocking_call_awaited_for_a_stream",
        "client.stream(Gateway.place, Order())",
        'client.stream(Gateway.fills, "a")',
        "arg-type",
        ARGUMENT,
    ),
    Mistake(
        "blocking_items_of_a_call",
        "print(list(client.method(Ledger.total)()))",
        'print(list(client.method(Gateway.fills)("a")))',
        "call-overload",
        ARGUMENT,
    ),
    Mistake(
        "middleware_of_another_shape",
        'connect("127.0.0.1:7000", middleware=[some_words])',
        'connect("127.0.0.1:7000", middleware=[propagate])',
        "list-item",
        ARGUMENT,
    ),
    Mistake(
        "error_of_a_code_that_is_a_number",
        "raise RpcError(code=5)",
        "raise RpcError(code=Code.NOT_FOUND)",
        "arg-type",
        ARGUMENT,
    ),
)
