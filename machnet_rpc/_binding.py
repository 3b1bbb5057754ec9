"""A contract's method, compiled: what each call of it needs.

Does not know how contracts are written.
"""

from dataclasses import dataclass, field

from idl import ArgumentsCodec, MethodKind, MethodSchema, ResultCodec
from machnet_rpc._options import MethodOptions
from machnet_rpc._requests_argument import RequestsArgument
from machnet_rpc.errors import ContractError


@dataclass(frozen=True, slots=True, eq=False)
class MethodBinding:
    """A method with all that a call needs, resolved once."""

    full_name: str
    method_id: int
    schema: MethodSchema
    options: MethodOptions
    arguments: ArgumentsCodec
    result: ResultCodec
    takes_bytes: bool  # its one argument is bytes, which are their own payload
    gives_bytes: bool
    takes_view: bool  # its one argument is a memoryview, which is lent to the handler
    gives_view: bool
    errors: dict[str, type[Exception]]
    kind: MethodKind = "unary"
    requests: RequestsArgument | None = None
    declaring: type | None = None
    names: tuple[str, ...] = field(init=False)  # of all arguments, a stream among them

    def __post_init__(self) -> None:
        names = [each.name for each in self.schema.parameters]
        if self.requests is not None:
            names.insert(self.requests.place, self.requests.name)
        object.__setattr__(self, "names", tuple(names))

    @property
    def is_keyed(self) -> bool:
        """It is executed once for each key."""
        return self.options.idempotent == "keyed"

    @property
    def is_plain(self) -> bool:
        """One request, one answer, and nothing to be remembered of it."""
        return self.kind == "unary" and not self.is_keyed

    @property
    def gives_items(self) -> bool:
        """The handler answers with a stream."""
        return self.kind in ("server_stream", "bidirectional")

    def check_call(self) -> None:
        """Errors: ContractError where `client.call` is not for it."""
        if self.gives_items:
            raise ContractError(f"{self.full_name} gives items: use client.stream(...)")

    def check_stream(self) -> None:
        """Errors: ContractError where `client.stream` is not for it."""
        if not self.gives_items:
            raise ContractError(f"{self.full_name} gives no items: use client.call(...)")
