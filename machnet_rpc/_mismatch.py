"""Why a call could not be understood: the client's contract compared with the server's.

A call that succeeds pays nothing. When one fails in a way that different contracts explain, the
server is asked for its schema, once for each service and connection and within the call's time,
and the error says field by field what differs and which side to upgrade.
"""

import contextlib
import json
from typing import TYPE_CHECKING, Final

from idl import MalformedSchema, ServiceDescription, Side, conversation, service_from
from machnet_rpc import _clock
from machnet_rpc._binding import MethodBinding
from machnet_rpc._protocol.calls import REPLY_SEEN, OutgoingCall
from machnet_rpc.errors import Code, ContractError, RpcError
from machnet_rpc.reflection import NAME, ReflectionContract
from machnet_rpc.schemas import schema_of

if TYPE_CHECKING:
    from machnet_rpc.client import Client

ASKING_SECONDS_MAX: Final = 1.0
SCHEMA_CHARACTERS_MAX: Final = 1 << 20  # of what a server may make a client compare
SENTENCES_MAX: Final = 3
# How a call ends that the other side could not read, or does not know: (code, executed).
_SUSPECT: Final = {
    (Code.INVALID_ARGUMENT, "no"),
    (Code.UNIMPLEMENTED, "no"),
    (Code.INTERNAL, "yes"),
}


class Mismatches:
    """What is known of the contracts at the other end of a client's connection."""

    def __init__(self) -> None:
        self._connection: object = None
        self._schemas: dict[str, ServiceDescription | None] = {}  # None: the server has not told

    async def explained(
        self, client: "Client", binding: MethodBinding, failure: RpcError, call: OutgoingCall
    ) -> RpcError:
        """The failure, saying what differs if that is why; never another one."""
        service, _, method = binding.full_name.partition("/")
        if (failure.code, failure.executed) not in _SUSPECT or failure.stage != REPLY_SEEN:
            return failure
        left_seconds = (call.deadline_ns - _clock.monotonic_ns()) / 1e9
        if service == NAME or left_seconds <= 0 or binding.declaring is None:
            return failure
        if call.connection is not self._connection:
            self._connection, self._schemas = call.connection, {}
        if service not in self._schemas:
            asking = client.using(timeout=min(left_seconds, ASKING_SECONDS_MAX), wait=False)
            self._schemas[service] = await _asked(asking, service)
        theirs = self._schemas[service]
        if theirs is not None:
            with contextlib.suppress(ContractError, RecursionError):  # a type without a schema
                _explain(failure, schema_of(binding.declaring), theirs, method)
        return failure


async def _asked(client: "Client", service: str) -> ServiceDescription | None:
    try:
        text = await client.stub(ReflectionContract).schema(service)
        if len(text) > SCHEMA_CHARACTERS_MAX:
            return None
        return service_from(json.loads(text))
    except (RpcError, MalformedSchema, ValueError, RecursionError):
        return None  # it has no such service, or is too old to tell


def _explain(
    failure: RpcError, ours: ServiceDescription, theirs: ServiceDescription, method: str
) -> None:
    if ours.fingerprint == theirs.fingerprint or method not in ours.methods:
        return
    if method not in theirs.methods:
        sentences = [f"the server's contract has no method {method}"]
    else:
        sentences = [
            f"{problem.path}: {problem.sentence}" if problem.path else problem.sentence
            for problem in conversation(
                Side("this client", ours), Side("the server", theirs), method
            )
            if problem.severity == "breaking"
        ]
    if not sentences:
        return
    more = len(sentences) - SENTENCES_MAX
    listed = "; ".join(sentences[:SENTENCES_MAX]) + (f"; and {more} more" if more > 0 else "")
    failure.message = f"{failure.message}; the contracts differ: {listed}"
    failure.args = (failure.message,)
    failure.next_step = _advice(ours, theirs, method)


def _advice(ours: ServiceDescription, theirs: ServiceDescription, method: str) -> str:
    prints = f"contract {ours.name} is {ours.fingerprint} here and {theirs.fingerprint} there"
    if ours.version != theirs.version:
        older = "this client" if ours.version < theirs.version else "the server"
        return (
            f"Upgrade {older}: the server has version {theirs.version} of the contract, "
            f"this client {ours.version} ({prints})."
        )
    if method not in theirs.methods:
        return f"Upgrade the server, or call what it has ({prints})."
    return f"Upgrade the side with the older contract ({prints}); `mrpc schema check` compares."
