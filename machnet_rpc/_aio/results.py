"""What a handler gave as what its caller is sent, or as the error that says why not.

Does not know how calls are answered.
"""

import logging
from typing import Final

from idl import CodecError
from machnet_rpc._binding import MethodBinding
from machnet_rpc._repetitions import repetitions
from machnet_rpc.errors import Internal, ResourceExhausted

log: Final = logging.getLogger("machnet_rpc")


def encoded(value: object, what: str, binding: MethodBinding, size_max: int) -> bytes | memoryview:
    """A result, or an item of one.

    Errors: Internal, ResourceExhausted; and what an iterable raises while its items are read.
    """
    try:
        payload = binding.result.encode(value)
    except CodecError as error:
        raise wrong(what, binding, error) from error
    if len(payload) > size_max:
        raise too_large(what, len(payload), size_max)
    return payload


def wrong(what: str, binding: MethodBinding, error: CodecError) -> Internal:
    """For what the contract does not allow."""
    words = f"{binding.full_name} gave what its contract does not allow"
    if repetitions.is_shown(words):
        log.error("%s: %s", words, error)
    return Internal(f"the handler's {what} is wrong: {error}")


def too_large(what: str, size_bytes: int, size_max: int) -> ResourceExhausted:
    """For what no message may be."""
    return ResourceExhausted(
        f"the {what} is {size_bytes} bytes, and at most {size_max} can be sent",
        next_step="Ask for less at once, or raise Limits.reply_bytes and the engines' "
        "message_bytes_max.",
    )
