"""The built-in service by which tools learn what a server offers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from idl import MethodKind, canonical, json_schema, spelled
from machnet_rpc._binding import MethodBinding
from machnet_rpc.errors import ContractError, NotFound
from machnet_rpc.schemas import schema_of
from machnet_rpc.service import Contract, rpc, service

NAME: Final = "mrpc.reflection"
BUILT_IN: Final = "mrpc."  # begins the names of services that every server has


@dataclass(frozen=True, slots=True)
class DescribedMethod:
    """A method as its contract declares it; `raw_*` say that bytes travel as they are.

    Of a method with streams, `result` and `requests` are those of an item.
    """

    name: str
    signature: str
    raw_argument: bool
    raw_result: bool
    idempotent: bool
    timeout: float
    arguments: dict[str, Any]
    result: dict[str, Any]
    kind: MethodKind = "unary"
    requests: dict[str, Any] | None = None
    raw_requests: bool = False
    keyed: bool = False


@dataclass(frozen=True, slots=True)
class DescribedService:
    """A service and its methods."""

    name: str
    version: int
    methods: list[DescribedMethod] = field(default_factory=list[DescribedMethod])


@service(NAME)
class ReflectionContract:
    """What `mrpc ls`, `mrpc call` and `mrpc ping` ask."""

    @rpc(idempotent=True)
    async def services(self) -> list[DescribedService]:
        """All services of this server, itself included."""
        raise NotImplementedError

    @rpc(idempotent=True)
    async def schema(self, service: str) -> str:
        """The canonical form of a service's schema. Errors: NotFound."""
        raise NotImplementedError

    @rpc(idempotent=True)
    async def ping(self, data: bytes) -> bytes:
        """The same bytes, for `mrpc ping`."""
        raise NotImplementedError


class Reflection(ReflectionContract):
    """Answers from what the server sets once it knows all its services."""

    def __init__(self) -> None:
        self.description: list[DescribedService] = []
        self.contracts: Sequence[Contract] = ()
        self._schemas: dict[str, str] = {}

    @rpc
    async def services(self) -> list[DescribedService]:
        return self.description

    @rpc
    async def schema(self, service: str) -> str:
        declaring = {each.name: each.declaring for each in self.contracts}.get(service)
        if declaring is None:
            raise NotFound(f"there is no service {service} here")
        if service not in self._schemas:
            try:
                self._schemas[service] = canonical(schema_of(declaring).to_json())
            except ContractError as error:
                raise NotFound(str(error)) from error
        return self._schemas[service]

    @rpc
    async def ping(self, data: bytes) -> bytes:
        return data


def describe(contracts: Sequence[Contract]) -> list[DescribedService]:
    """The contracts as data."""
    return [
        DescribedService(
            contract.name,
            contract.version,
            [_described(name, binding) for name, binding in contract.methods.items()],
        )
        for contract in contracts
    ]


def _described(name: str, binding: MethodBinding) -> DescribedMethod:
    schema = binding.schema
    takes = [
        f"{each.name}: {spelled(each.annotation)}{'' if each.required else f' = {each.default!r}'}"
        for each in schema.parameters
    ]
    requests = schema.requests
    if requests is not None and binding.requests is not None:
        stream = f"{requests.name}: AsyncIterator[{spelled(requests.annotation)}]"
        takes.insert(binding.requests.place, stream)
    gives = spelled(schema.result)
    gives = f"AsyncIterator[{gives}]" if binding.gives_items else gives
    return DescribedMethod(
        name=name,
        signature=f"({', '.join(takes)}) -> {gives}",
        raw_argument=binding.arguments.is_raw,
        raw_result=binding.result.is_raw,
        idempotent=bool(binding.options.idempotent),
        timeout=binding.options.timeout,
        arguments={each.name: json_schema(each.annotation) for each in schema.parameters},
        result=json_schema(schema.result),
        kind=binding.kind,
        requests=None if requests is None else json_schema(requests.annotation),
        keyed=binding.is_keyed,
        raw_requests=binding.requests is not None and binding.requests.codec.is_raw,
    )
