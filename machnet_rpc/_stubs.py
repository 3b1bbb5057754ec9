"""The calling half of a stub's class; the contract is the other.

Unary methods reach the client as the contract has them. Keyed ones and each other kind have a
descriptor of their own, so that what a unary call costs does not depend on them.
"""

from typing import Any, Protocol

from machnet_rpc._binding import MethodBinding
from machnet_rpc._options import CallOptions
from machnet_rpc.errors import ContractError
from machnet_rpc.service import BoundMethod, Method, contract_of, resolve


class Caller(Protocol):
    """The client of a stub."""

    @property
    def address(self) -> str: ...

    def invoke(
        self,
        method: Method[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions,
    ) -> Any:
        """Calls a unary method."""
        ...

    def begin(
        self,
        method: Method[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions,
    ) -> Any:
        """Calls any other."""
        ...


class Stub:
    """A contract's methods, called."""

    def __init__(self, client: Caller) -> None:
        self.__rpc_client__ = client
        self.__rpc_call__ = client.invoke

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.__rpc_client__.address}>"


class OtherMethod:
    """Stands in a stub's class for a method that is keyed, or not unary."""

    def __init__(self, method: Method[..., Any]) -> None:
        self._method = method

    def __get__(self, stub: Stub | None, owner: type) -> object:
        if stub is None:
            return self._method
        return BoundMethod(self._method, stub.__rpc_client__.begin)


class Bindings:
    """The methods and stubs that a client knows, each resolved once."""

    def __init__(self, lent: set[int]) -> None:
        """`lent` gets the ids of those that give views."""
        self.unary: dict[Method[..., Any], MethodBinding] = {}
        self._lent = lent
        self._others: dict[Method[..., Any], MethodBinding] = {}
        self._stubs: dict[type, type] = {}

    def of(self, method: Method[..., Any]) -> MethodBinding:
        """What a call of this method needs. Errors: ContractError."""
        found = self.unary.get(method) or self._others.get(method)
        if found is not None:
            return found
        given: Any = method
        if not isinstance(given, Method):
            raise ContractError(
                f'{given!r} is no method of a contract: write Contract.method, or "service/method"'
            )
        if method.contract is None:
            raise ContractError(f"{method!r} belongs to no class")
        self._bind(contract_of(method.contract))
        found = self.unary.get(method) or self._others.get(method)
        if found is None:  # the implementation's method stands for its contract's
            contract = resolve(method.contract)
            found = contract.methods.get(method.name)
            if found is None:
                known = ", ".join(sorted(contract.methods))
                raise ContractError(f"{contract.name} has no method {method.name}: it has {known}")
            self._note(method, found)
        return found

    def stub_of(self, contract: type) -> type:
        """The class of a contract's stubs. Errors: ContractError."""
        kind = self._stubs.get(contract)
        if kind is None:
            others = [each for each in self._bind(contract) if each in self._others]
            namespace = {each.name: OtherMethod(each) for each in others}
            kind = type(f"{contract.__name__}Stub", (Stub, contract), namespace)
            self._stubs[contract] = kind
        return kind

    def _bind(self, contract: type) -> list[Method[..., Any]]:
        methods: list[Method[..., Any]] = []
        for name, binding in resolve(contract).methods.items():
            methods.append(getattr(contract, name))
            self._note(methods[-1], binding)
        return methods

    def _note(self, method: Method[..., Any], binding: MethodBinding) -> None:
        (self.unary if binding.is_plain else self._others)[method] = binding
        if binding.gives_view:
            self._lent.add(binding.method_id)
