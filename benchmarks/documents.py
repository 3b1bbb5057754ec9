"""One document of six fields, as each codec has it: pydantic, msgspec, dataclasses and protobuf."""

import importlib
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
from pydantic import BaseModel

from machnet_rpc import rpc, service

FIELDS: dict[str, Any] = {
    "number": 81_723_645,
    "account": "treasury-7",
    "symbol": "MRPC",
    "is_buy": True,
    "quantity": 1_200,
    "price": 101.375,
}


class Order(BaseModel):
    """As pydantic has it."""

    number: int
    account: str
    symbol: str
    is_buy: bool
    quantity: int
    price: float


class OrderStruct(msgspec.Struct):
    """As msgspec has it."""

    number: int
    account: str
    symbol: str
    is_buy: bool
    quantity: int
    price: float


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """As Python has it."""

    number: int
    account: str
    symbol: str
    is_buy: bool
    quantity: int
    price: float


@cache
def order_message() -> Any:
    """The message class as protobuf has it, built at run time and served by the same C code."""
    descriptors: Any = importlib.import_module("google.protobuf.descriptor_pb2")
    pools: Any = importlib.import_module("google.protobuf.descriptor_pool")
    factory: Any = importlib.import_module("google.protobuf.message_factory")
    file = descriptors.FileDescriptorProto(name="order.proto", package="bench", syntax="proto3")
    message = file.message_type.add(name="Order")
    field = descriptors.FieldDescriptorProto
    kinds = {int: field.TYPE_INT64, str: field.TYPE_STRING, bool: field.TYPE_BOOL}
    for number, (name, value) in enumerate(FIELDS.items(), 1):
        kind = kinds.get(type(value), field.TYPE_DOUBLE)
        message.field.add(name=name, number=number, type=kind, label=field.LABEL_OPTIONAL)
    pool = pools.DescriptorPool()
    pool.Add(file)
    return factory.GetMessageClass(pool.FindMessageTypeByName("bench.Order"))


@service("orders")
class Orders:
    """An order there and back, through the codec on both sides."""

    @rpc(timeout=30.0, idempotent=True)
    async def model(self, order: Order) -> Order:
        """The order itself, as pydantic has it."""
        raise NotImplementedError

    @rpc(timeout=30.0, idempotent=True)
    async def struct(self, order: OrderStruct) -> OrderStruct:
        """The order itself, as msgspec has it."""
        raise NotImplementedError

    @rpc(timeout=30.0, idempotent=True)
    async def record(self, order: OrderRecord) -> OrderRecord:
        """The order itself, as Python has it."""
        raise NotImplementedError


class OrdersServer(Orders):
    """Answers in one go."""

    @rpc
    async def model(self, order: Order) -> Order:
        return order

    @rpc
    async def struct(self, order: OrderStruct) -> OrderStruct:
        return order

    @rpc
    async def record(self, order: OrderRecord) -> OrderRecord:
        return order
