"""What makes the methods of a contract those of a stub that blocks, to a type checker."""

from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class BlockingContract:
    """To be mixed with a contract, so that type checkers know the blocking client's stubs of it.

    Shape: `class BlockingGreeter(Greeter, BlockingContract): ...`, which needs no line more.
    """


class BlockingCall(Protocol[P, R_co]):
    """What `machnet_rpc.sync` has in the place of a BoundMethod."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    def using(
        self, *, timeout: float | None = None, wait: bool | None = None, key: str | None = None
    ) -> "BlockingCall[P, R_co]": ...
