"""The number that stands for a method on the wire."""

import hashlib
from functools import lru_cache

from idl import MethodKind


@lru_cache(maxsize=1024)  # for calls by name, each of which asks
def method_id(service_name: str, method_name: str, kind: MethodKind = "unary") -> int:
    """The 64 bits that stand for a method of this kind on the wire."""
    name = method_name if kind == "unary" else f"{method_name} {kind}"
    return _hash32(service_name) << 32 | _hash32(name)


def _hash32(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
