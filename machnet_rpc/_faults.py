"""Errors as data: how the exception of a handler becomes a reply, and the caller's exception.

A reply with the error flag carries the code in its status, and a msgpack map: message, executed,
next_step, and passing where the same call may be taken soon; for an exception that the contract
declares, also its name and its fields or arguments.
"""

import contextlib
import dataclasses
import inspect
import logging
import typing
from collections.abc import Mapping
from typing import Any, Final, cast

from idl import CodecError, ValueCodec, pack, unpack
from idl.raised import class_name, is_of, said, traceback_of
from machnet_rpc._protocol.calls import REMOTE_RING, REPLY_SEEN, Executed, IncomingCall
from machnet_rpc._protocol.connection import Connection
from machnet_rpc._repetitions import repetitions
from machnet_rpc.errors import Code, DeadlineExceeded, RpcError, error_of

MESSAGE_CHARACTERS_MAX: Final = 4096
FITTED_CHARACTERS_MAX: Final = 128  # of a message, which then fits where least is taken, 1 KiB

log: Final = logging.getLogger("machnet_rpc")

_CODES: Final = frozenset(Code)
_NAMED: Final = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
_EXECUTED: Final[dict[object, Executed]] = {"no": "no", "maybe": "maybe", "yes": "yes"}


def encode(error: RpcError) -> bytes:
    """The payload for an error whose class the caller knows from its code."""
    fields: dict[str, object] = {
        "message": _sendable(error.message)[:MESSAGE_CHARACTERS_MAX],
        "executed": error.executed,
        "next_step": _sendable(error.next_step or "")[:MESSAGE_CHARACTERS_MAX],
    }
    return pack(fields | {"passing": True} if error.is_passing else fields)


def encode_raised(
    method: str, declared: Mapping[str, type[Exception]], error: BaseException
) -> tuple[int, bytes]:
    """Status and payload for whatever the handler of a method raised.

    It is the user's, and says of itself what it likes, or nothing that can be sent.
    """
    kind = class_name(error)
    try:
        if is_of(error, Exception) and declared.get(kind) is type(error):
            return encode_declared(error)
        if is_of(error, RpcError):
            answer = RpcError(error.message, code=Code(error.code), next_step=error.next_step)
        else:
            log_raised(method, error, _undeclared(declared, kind, error))
            answer = RpcError(f"the handler raised {kind}: {said(error)}")
        answer.executed = "yes"
        return answer.code, encode(answer)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as untold:  # noqa: BLE001 (it may raise whatever it likes)
        log_raised(method, error, f", which cannot be sent: {said(untold)}")
        answer = RpcError(f"the handler raised {kind}, which cannot be sent: {said(untold)}")
        answer.executed = "yes"
        return Code.UNKNOWN, encode(answer)


def _undeclared(declared: Mapping[str, type[Exception]], kind: str, error: BaseException) -> str:
    """The next step where its base is declared, and it is not."""
    bases = [name for name, base in declared.items() if is_of(error, base)]
    if not bases:
        return ""
    return f", and its contract declares {bases[-1]} only: have errors=[...] name {kind}, too"


def log_raised(method: str, error: BaseException, more: str = "") -> None:
    """Logs it with its traceback, or without one that cannot be had; many of a kind are counted."""
    words = f"{method} raised {class_name(error)}"
    if not repetitions.is_shown(words):
        return
    words += more
    try:
        log.error("%s", words, exc_info=(type(error), error, traceback_of(error)))
    except Exception as untold:  # noqa: BLE001 (some handlers of logs raise what formatting raised)
        log.error("%s (its traceback cannot be shown: %s)", words, said(untold))


def answer(call: IncomingCall, status: int, payload: bytes, flags: int = 0) -> None:
    """Answers a call with an error, of which the caller gets what it can take."""
    connection: Connection = call.connection
    connection.reply_error(call, status, fitted(payload, connection.message_bytes_max), flags)


def fitted(payload: bytes, bytes_max: int) -> bytes:
    """The same error in a message that can be sent: the beginning of its words, if it is longer."""
    if len(payload) <= bytes_max:
        return payload
    fields = _fields(payload)
    words = str(fields.get("message", ""))[:FITTED_CHARACTERS_MAX]
    why = f"of an error of {len(payload)} bytes; at most {bytes_max} can be sent"
    least = {
        "message": f"{words} ({why})",
        "executed": fields.get("executed"),
    }
    return pack(least | {"passing": True} if fields.get("passing") is True else least)


def encode_declared(error: Exception) -> tuple[int, bytes]:
    """Status and payload for an exception that the contract declares.

    Errors: CodecError if what it holds cannot be sent; ValueError for a code that is none.
    """
    code, words = Code.UNKNOWN, said(error)
    more: dict[str, str] = {}
    if is_of(error, RpcError):
        code, words = Code(error.code), error.message
        more = {"next_step": _sendable(error.next_step or "")[:MESSAGE_CHARACTERS_MAX]}
    return code, pack(
        {
            "message": _sendable(words)[:MESSAGE_CHARACTERS_MAX],
            "executed": "yes",
            "type": class_name(error),
            "data": _data_of(error),
        }
        | more
    )


def decode(
    status: int, payload: bytes, declared: dict[str, type[Exception]], method: str, peer: str
) -> Exception:
    """The exception that the caller gets; whatever the bytes are, it is one."""
    if not payload:  # of a stream that expired before the server saw its request
        words = "the call's time was over before the server took it"
        late = DeadlineExceeded(words, executed="no", method=method, peer=peer)
        late.stage = REMOTE_RING
        return late
    fields = _fields(payload)
    message, name = str(fields.get("message", "")), str(fields.get("type", ""))
    code = Code(status) if status in _CODES else Code.UNKNOWN
    next_step = str(fields.get("next_step", ""))
    kind = declared.get(name)
    if kind is not None:
        try:
            error = _rebuilt(kind, fields.get("data"))
        except Exception as unfit:  # noqa: BLE001 (its fields differ there, or its own code raises)
            next_step = next_step or f"{name} cannot be made of what came: {said(unfit)}"
        else:
            return _placed(error, RpcError("", code=code, method=method, peer=peer), next_step)
    if name and name != message:  # who calls by name knows no more of it
        message = f"{name}: {message}".removesuffix(": ")
    failure = error_of(code)(
        message,
        code=code,
        executed=_EXECUTED.get(fields.get("executed"), "maybe"),
        method=method,
        peer=peer,
        stage=REPLY_SEEN,
        next_step=next_step,
    )
    failure.is_passing = fields.get("passing") is True
    return failure


def _sendable(text: object) -> str:
    """Text without what no encoding has (lone surrogates, from paths and C locales)."""
    return str(text).encode(errors="backslashreplace").decode()


def _data_of(error: Exception) -> object:
    """What it is made of again: by name, or its arguments where these have no names."""
    if is_of(error, RpcError) and type(error).__init__ is RpcError.__init__:
        return [error.message]
    names = _names_of(type(error))
    if not names or not all(hasattr(error, name) for name, is_needed in names.items() if is_needed):
        return list(error.args)
    return {name: getattr(error, name) for name in names if hasattr(error, name)}


def _names_of(kind: Any) -> dict[str, bool]:
    """What its constructor takes by name, and whether it needs that."""
    if dataclasses.is_dataclass(kind):
        return {field.name: True for field in dataclasses.fields(kind) if field.init}
    if not inspect.isfunction(kind.__init__):  # it is that of a class in C: takes what it is given
        return {}
    _, *parameters = inspect.signature(kind.__init__).parameters.values()
    if not all(each.kind in _NAMED for each in parameters):
        return {}
    return {each.name: each.default is each.empty for each in parameters}


def _fields(payload: bytes) -> dict[Any, Any]:
    try:
        fields = unpack(payload)
    except CodecError:
        return {}
    found: dict[Any, Any] = fields if isinstance(fields, dict) else {}
    return found


def _rebuilt(kind: type[Exception], data: Any) -> Exception:
    """Errors: any, where it does not fit."""
    if not isinstance(data, dict):
        arguments: list[Any] = data
        return kind(*arguments)
    made: Any = kind
    has_fields = dataclasses.is_dataclass(made)
    hints = typing.get_type_hints(made if has_fields else made.__init__)
    fields: dict[str, Any] = data
    given = {name: _field(name, value, hints) for name, value in fields.items()}
    bound = inspect.signature(made.__init__).bind(None, **given)
    made = made(*bound.args[1:], **bound.kwargs)  # by position: that makes its `args`, too
    return cast(Exception, made)


def _field(name: str, value: Any, hints: dict[str, Any]) -> Any:
    """Errors: CodecError."""
    if name not in hints:
        return value
    try:
        return ValueCodec(hints[name]).load(value)
    except CodecError as error:
        raise CodecError(f"{name}: {error}") from error


def _placed(error: Exception, place: RpcError, next_step: str) -> Exception:
    with contextlib.suppress(Exception):  # a frozen dataclass takes no notes, nor anything else
        if isinstance(error, RpcError):
            error.code, error.method, error.peer = place.code, place.method, place.peer
            error.stage, error.executed, error.next_step = REPLY_SEEN, "yes", next_step
        else:
            error.add_note(f"raised by {place.method} at {place.peer}; executed: yes")
    return error
