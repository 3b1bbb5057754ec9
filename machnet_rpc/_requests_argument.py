"""The argument of a method that is a stream: which it is, and how its items travel."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from idl import MethodSchema, ResultCodec
from idl.schema import signature_of


@dataclass(frozen=True, slots=True)
class RequestsArgument:
    """The argument that is a stream: its name, its place among all, and the codec of an item."""

    method: str
    name: str
    place: int
    codec: ResultCodec

    def split(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
        """The stream, and the other arguments. Errors: TypeError."""
        if self.name in kwargs:
            if len(args) > self.place:
                raise TypeError(f"{self.method}: the stream {self.name!r} is given twice")
            others = dict(kwargs)
            return others.pop(self.name), args, others
        if len(args) <= self.place:
            raise TypeError(f"{self.method}: the stream {self.name!r} is missing")
        return args[self.place], (*args[: self.place], *args[self.place + 1 :]), kwargs


def requests_of(schema: MethodSchema, function: Callable[..., Any]) -> RequestsArgument | None:
    """The one of a method, if it has one. Errors: SchemaError."""
    if schema.requests is None:
        return None
    name = schema.requests.name
    place = list(signature_of(function).parameters).index(name) - 1
    item = MethodSchema(f"{schema.name}: {name}", (), schema.requests.annotation)
    return RequestsArgument(schema.name, name, place, ResultCodec(item))
