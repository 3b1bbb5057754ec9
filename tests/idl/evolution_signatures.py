"""Pairs in which methods and their parameters change."""

from tests.idl.evolution import Fate, Pair, Version

WHOLE: Fate = ("compatible", "whole")
LOSES: Fate = ("compatible", "loses")
BREAKS: Fate = ("breaking", "fails")
SWAPS: Fate = ("breaking", "changed")
IGNORED: Fate = ("risky", "loses")
FAULT = "@dataclass\nclass Fault(Exception):\n    item: str"

SIGNATURES: list[Pair] = [
    Pair(
        "nothing changed",
        Version("f(a: int, b: str) -> int", calls=["1, 'x'"], gives=["3"]),
        Version("f(a: int, b: str) -> int", calls=["1, 'x'"], gives=["3"]),
        WHOLE,
        WHOLE,
    ),
    Pair(
        "method added",
        Version("f() -> None"),
        Version(["f() -> None", "g() -> None"]),
        WHOLE,
        ("risky", "whole"),
    ),
    Pair(
        "method removed",
        Version("f() -> None"),
        Version("g() -> int", gives=["1"]),
        BREAKS,
        ("risky", "fails"),
    ),
    Pair(
        "method renamed",
        Version("f(a: int) -> None", calls=["1"]),
        Version("f2(a: int) -> None", calls=["1"]),
        BREAKS,
        ("risky", "fails"),
    ),
    Pair(
        "parameter added with a default",
        Version("f(a: int, b: int) -> None", calls=["1, 2"]),
        Version("f(a: int, b: int, c: int = 5) -> None", calls=["1, 2", "1, 2, 3"]),
        WHOLE,
        IGNORED,
    ),
    Pair(
        "parameter added without a default",
        Version("f(a: int, b: int) -> None", calls=["1, 2"]),
        Version("f(a: int, b: int, c: int) -> None", calls=["1, 2, 3"]),
        BREAKS,
        IGNORED,
    ),
    Pair(
        "second parameter added",
        Version("f(a: int) -> None", calls=["1"]),
        Version("f(a: int, b: int = 5) -> None", calls=["1", "1, 2"]),
        BREAKS,
        BREAKS,
    ),
    Pair(
        "first parameter added with a default",
        Version("f() -> None"),
        Version("f(a: int = 5) -> None", calls=["", "1"]),
        WHOLE,
        IGNORED,
    ),
    Pair(
        "first parameter added without a default",
        Version("f() -> None"),
        Version("f(a: int) -> None", calls=["1"]),
        BREAKS,
        IGNORED,
    ),
    Pair(
        "lone bytes added",
        Version("f() -> None"),
        Version("f(a: bytes) -> None", calls=["b'x'"]),
        WHOLE,
        IGNORED,
    ),
    Pair(
        "parameter removed",
        Version("f(a: int, b: int, c: int) -> None", calls=["1, 2, 3"]),
        Version("f(a: int, b: int) -> None", calls=["1, 2"]),
        IGNORED,
        BREAKS,
    ),
    Pair(
        "parameter with a default removed",
        Version("f(a: int, b: int, c: int = 3) -> None", calls=["1, 2", "1, 2, 4"]),
        Version("f(a: int, b: int) -> None", calls=["1, 2"]),
        IGNORED,
        WHOLE,
    ),
    Pair(
        "lone parameter renamed",
        Version("f(a: int) -> None", calls=["1"]),
        Version("f(b: int) -> None", calls=["1"]),
        WHOLE,
        WHOLE,
    ),
    Pair(
        "parameter renamed",
        Version("f(a: int, b: int) -> None", calls=["1, 2"]),
        Version("f(a: int, c: int) -> None", calls=["1, 2"]),
        BREAKS,
        BREAKS,
    ),
    Pair(
        "parameter with a default renamed",
        Version("f(a: int, b: int = 1) -> None", calls=["1, 2"]),
        Version("f(a: int, c: int = 1) -> None", calls=["1, 2"]),
        IGNORED,
        IGNORED,
    ),
    Pair(
        "parameters reordered",
        Version("f(a: int, b: str) -> None", calls=["1, 'x'"]),
        Version("f(b: str, a: int) -> None", calls=["'x', 1"]),
        WHOLE,
        WHOLE,
    ),
    Pair(
        "parameter gained a default",
        Version("f(a: int, b: int) -> None", calls=["1, 2"]),
        Version("f(a: int, b: int = 2) -> None", calls=["1", "1, 2"]),
        WHOLE,
        BREAKS,
    ),
    Pair(
        "parameter lost its default",
        Version("f(a: int, b: int = 2) -> None", calls=["1", "1, 2"]),
        Version("f(a: int, b: int) -> None", calls=["1, 2"]),
        BREAKS,
        WHOLE,
    ),
    Pair(
        "default of a parameter changed",
        Version("f(a: int, b: int = 2) -> None", calls=["1"]),
        Version("f(a: int, b: int = 3) -> None", calls=["1"]),
        ("risky", "whole"),
        ("risky", "whole"),
    ),
    Pair(
        "default of a lone parameter changed",
        Version("f(a: int = 2) -> None", calls=["", "1"]),
        Version("f(a: int = 3) -> None", calls=["", "1"]),
        WHOLE,
        WHOLE,
    ),
    Pair(
        "parameters gathered in a dataclass",
        Version("f(a: int, b: str) -> None", calls=["1, 'x'"]),
        Version(
            "f(r: R) -> None", "@dataclass\nclass R:\n    a: int\n    b: str", calls=["R(1, 'x')"]
        ),
        WHOLE,
        WHOLE,
    ),
    Pair(
        "result added",
        Version("f() -> None"),
        Version("f() -> int", gives=["1"]),
        BREAKS,
        BREAKS,
    ),
    Pair(
        "result of bytes added",
        Version("f() -> None"),
        Version("f() -> bytes", gives=["b'x'"]),
        BREAKS,
        ("risky", "changed"),
    ),
    Pair(
        "result became optional",
        Version("f() -> int", gives=["1"]),
        Version("f() -> int | None", gives=["1", "None"]),
        BREAKS,
        WHOLE,
    ),
    Pair(
        "timeout changed",
        Version("f() -> None", options="@rpc(timeout=5)"),
        Version("f() -> None", options="@rpc(timeout=1)"),
        WHOLE,
        WHOLE,
    ),
    Pair(
        "became idempotent",
        Version("f() -> None"),
        Version("f() -> None", options="@rpc(idempotent=True)"),
        WHOLE,
        ("risky", "whole"),
    ),
    Pair(
        "no longer idempotent",
        Version("f() -> None", options="@rpc(idempotent=True)"),
        Version("f() -> None"),
        ("risky", "whole"),
        WHOLE,
    ),
    Pair(
        "lane changed",
        Version("f() -> None"),
        Version("f() -> None", options="@rpc(lane=1)"),
        WHOLE,
        WHOLE,
    ),
    Pair(
        "error added",
        Version("f() -> None"),
        Version("f() -> None", FAULT, gives=["Fault('x')"], options="@rpc(errors=[Fault])"),
        ("risky", "fails"),
        WHOLE,
    ),
    Pair(
        "error removed",
        Version("f() -> None", FAULT, gives=["Fault('x')"], options="@rpc(errors=[Fault])"),
        Version("f() -> None"),
        WHOLE,
        ("risky", "fails"),
    ),
    Pair(
        "error with another field",
        Version("f() -> None", FAULT, gives=["Fault('x')"], options="@rpc(errors=[Fault])"),
        Version(
            "f() -> None",
            FAULT + "\n    size: int",
            gives=["Fault('x', 1)"],
            options="@rpc(errors=[Fault])",
        ),
        ("risky", "fails"),
        ("risky", "fails"),
    ),
]
