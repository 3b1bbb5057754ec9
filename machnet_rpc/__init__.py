"""Remote calls between Python programs, past the kernel.

A service is a class with type hints; calls are `await client.stub(Contract).method(...)`.
"""

import mrpc_script

mrpc_script.end_at_interrupt_if_sought()  # before the imports, which take most of a start

from machnet_rpc._aio.limits import Limits
from machnet_rpc._replies import ReplyStore
from machnet_rpc._retries import RetryPolicy
from machnet_rpc._transports.base import Transport
from machnet_rpc._transports.memory import MemoryNetwork
from machnet_rpc.client import Client, connect
from machnet_rpc.context import CurrentCall, current_call
from machnet_rpc.errors import (
    Aborted,
    AddressError,
    AlreadyExists,
    Cancelled,
    Code,
    ContractError,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    RpcError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from machnet_rpc.functions import Service
from machnet_rpc.leases import keep
from machnet_rpc.middleware import CallInfo, Middleware, Next
from machnet_rpc.server import Server, serve
from machnet_rpc.service import BoundMethod, Method, rpc, service
from machnet_rpc.streams import Sender, Stream

__all__ = [
    "Aborted",
    "AddressError",
    "AlreadyExists",
    "BoundMethod",
    "CallInfo",
    "Cancelled",
    "Client",
    "Code",
    "ContractError",
    "CurrentCall",
    "DeadlineExceeded",
    "FailedPrecondition",
    "Internal",
    "InvalidArgument",
    "Limits",
    "MemoryNetwork",
    "Method",
    "Middleware",
    "Next",
    "NotFound",
    "PermissionDenied",
    "ReplyStore",
    "ResourceExhausted",
    "RetryPolicy",
    "RpcError",
    "Sender",
    "Server",
    "Service",
    "Stream",
    "Transport",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "connect",
    "current_call",
    "keep",
    "rpc",
    "serve",
    "service",
]
