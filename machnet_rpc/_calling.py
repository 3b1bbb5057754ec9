"""What a call by name is for, and what a plain value travels as."""

from typing import Final, NamedTuple

from idl import pack
from machnet_rpc._options import MethodOptions
from machnet_rpc.errors import ContractError

NO_REQUEST: Final = object()
"""For a call by name without an argument."""


class Target(NamedTuple):
    """What a call by name is for."""

    full_name: str
    method_id: int
    options: MethodOptions


def plain_payload(request: object) -> bytes:
    """What a plain value travels as; bytes as they are. Errors: CodecError."""
    if request is NO_REQUEST:
        return b""
    if isinstance(request, bytes | bytearray | memoryview):
        return bytes(request)
    return pack(request)


def split_name(name: str) -> tuple[str, str]:
    """Service and method of "service/method". Errors: ContractError."""
    service, slash, method = name.partition("/")
    if not (slash and service and method and _is_text(name)):
        raise ContractError(f"{name!r} names no method: write service/method")
    return service, method


def _is_text(name: str) -> bool:
    """Whether it can be sent; what is no UTF-8 comes from a shell as text that cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
