"""Runs an old client against a new server, and the reverse: what becomes of calls and values.

A version of a contract is Python text, so that both versions may use the same names. Its client
makes all the calls that are written for it, and its server answers with all that is written.
"""

import inspect
import sys
import types
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

import msgspec

from idl import ServiceDescription, pack, unpack
from machnet_rpc import RpcError, keep, rpc
from machnet_rpc.schemas import schema_of
from machnet_rpc.testing import test_client

Outcome = Literal["whole", "loses", "changed", "fails"]
Verdict = Literal["compatible", "risky", "breaking"]
Fate = tuple[Verdict, Outcome]
WORST: tuple[Outcome, ...] = ("whole", "loses", "changed", "fails")
PRELUDE = """
import datetime as dt
from collections.abc import *
from dataclasses import InitVar, dataclass, field
from decimal import Decimal
from enum import STRICT, Enum, Flag, IntEnum, IntFlag
from typing import *
from typing_extensions import TypedDict, TypeVar
from uuid import UUID
import msgspec
import pydantic
from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag
from machnet_rpc import NotFound, rpc, service
"""


@dataclass(frozen=True)
class Version:
    """A contract: `methods` as signatures without self, `calls` and `gives` as expressions."""

    methods: str | list[str]
    types: str = ""
    calls: list[str] = field(default_factory=lambda: [""])
    gives: list[str] = field(default_factory=lambda: ["None"])
    options: str = "@rpc"

    def namespace(self) -> dict[str, Any]:
        """What its text defines; the contract is `C`."""
        methods = [self.methods] if isinstance(self.methods, str) else self.methods
        lines = [PRELUDE, self.types, '@service("s")', "class C:"]
        for method in methods:
            name, _, rest = method.partition("(")
            comma = "" if rest.startswith(")") else ", "
            is_stream = "-> AsyncIterator" in rest
            start = "def" if is_stream else "async def"
            lines += [f"    {self.options}", f"    {start} {name}(self{comma}{rest}: ..."]
        module = types.ModuleType("evolution")  # where strings in hints are looked up
        sys.modules["evolution"] = module
        exec("\n".join(lines), vars(module))
        return vars(module)

    @property
    def schema(self) -> ServiceDescription:
        return schema_of(self.namespace()["C"])


@dataclass(frozen=True)
class Pair:
    """Two versions, and for each sort of clients the verdict and what really happens."""

    name: str
    old: Version
    new: Version
    old_clients: Fate
    new_clients: Fate


async def outcome(client: Version, server: Version, method: str = "f") -> Outcome:
    """The worst that becomes of any call."""
    calling, answering = client.namespace(), server.namespace()
    answers = [eval(text, answering) for text in server.gives]
    service = Answering(answering["C"], answers)
    worst: Outcome = "whole"
    async with test_client(service.implementation()) as connected:
        stub = connected.stub(calling["C"])
        count = max(len(client.calls), len(server.gives))
        for number in range(count):
            arguments = f"_call({client.calls[number % len(client.calls)]})"
            args, kwargs = eval(arguments, calling | {"_call": lambda *a, **k: (a, k)})
            service.received.clear()
            one = await service.one(getattr(stub, method), args, kwargs, number)
            worst = worst_of([worst, one])
    return worst


class Answering:
    """A server of any contract, which keeps what it was given."""

    def __init__(self, contract: type, answers: list[Any]) -> None:
        self._contract = contract
        self._answers = answers
        self._number = 0
        self.received: dict[str, Any] = {}

    def implementation(self) -> object:
        methods = {
            name: rpc(self._handler(method.function))
            for name, method in vars(self._contract).items()
            if hasattr(method, "function")
        }
        return type("Implementation", (self._contract,), methods)()

    async def one(self, call: Any, args: Any, kwargs: Any, number: int) -> Outcome:
        self._number = number
        try:
            result = await call(*args, **kwargs)
        except RpcError:
            return "fails"
        except Exception as error:  # noqa: BLE001 (what a contract declares)
            raised = self._answers[number % len(self._answers)]
            return "whole" if repr(error) == repr(raised) else "changed"
        taken = list(inspect.signature(call._method.function).parameters)[1:]
        sent = dict(zip(taken, args, strict=False)) | kwargs
        answer = self._answers[number % len(self._answers)]
        return worst_of([self._arrived(sent, taken), compared(plain(answer), plain(result))])

    def _arrived(self, sent: dict[str, Any], taken: list[str]) -> Outcome:
        """A lone argument is its value, several are a map."""
        if not sent:
            return "whole"
        if not self.received:
            return "loses"
        ours, theirs = (
            plain(next(iter(values.values())))
            if is_lone
            else {k: plain(v) for k, v in values.items()}
            for values, is_lone in (
                (sent, len(taken) == 1),
                (self.received, len(self.received) == 1),
            )
        )
        return compared(ours, theirs)

    def _handler(self, function: Any) -> Any:
        parameters = list(inspect.signature(function).parameters.values())[1:]
        written = ", ".join(
            each.name if each.default is each.empty else f"{each.name}=defaults['{each.name}']"
            for each in parameters
        )
        names = ", ".join(f"'{each.name}': {each.name}" for each in parameters)
        text = f"async def {function.__name__}(self, {written}): return answer({{{names}}})"
        defaults = {each.name: each.default for each in parameters}
        namespace: dict[str, Any] = {"answer": self._answer, "defaults": defaults}
        exec(text, namespace)
        return namespace[function.__name__]

    def _answer(self, arguments: dict[str, Any]) -> Any:
        for name, value in arguments.items():  # views are only lent
            self.received[name] = keep(value) if isinstance(value, memoryview) else value
        answer = self._answers[self._number % len(self._answers)]
        if isinstance(answer, Exception):
            raise answer
        return answer


def plain(value: Any) -> object:
    """What a value is on the wire, for comparison; what travels by position by its names."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    elif isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    return unpack(pack(value))


def compared(sent: Any, received: Any) -> Outcome:
    """Whether all of it arrived; what the receiver has besides is its defaults."""
    found: list[Outcome] = []
    if isinstance(sent, dict) and isinstance(received, dict):
        for key, value in sent.items():
            found.append(compared(value, received[key]) if key in received else "loses")
    elif isinstance(sent, list) and isinstance(received, list):
        found = [compared(*pair) for pair in zip(sent, received, strict=False)]
        found.append("whole" if len(sent) == len(received) else "changed")
    elif isinstance(sent, int) and isinstance(received, str):  # a Decimal
        found.append("whole" if Decimal(received) == sent else "changed")
    else:
        found.append("whole" if sent == received else "changed")
    return worst_of(found)


def worst_of(outcomes: list[Outcome]) -> Outcome:
    """The gravest of them."""
    return WORST[max(map(WORST.index, outcomes), default=0)]
