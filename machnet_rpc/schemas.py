"""The schemas of contracts: what `idl` makes of a class that `@service` stands on."""

import inspect
from collections.abc import Sequence
from typing import Any

from idl import MethodFacts, SchemaError, ServiceDescription, describe, method_schema
from machnet_rpc.errors import ContractError
from machnet_rpc.service import Declared, Method, contract_of, methods_of


def schema_of(declaring: type) -> ServiceDescription:
    """The schema of a contract, or of the one that a class implements; no codec is compiled.

    Errors: ContractError.
    """
    contract = contract_of(declaring)
    declared: Declared = vars(contract)["__rpc_service__"]
    try:
        return describe(
            declared.name,
            declared.version,
            [
                (
                    method_schema(method.function, f"{declared.name}/{name}", method.types),
                    _facts(method, declared.errors),
                )
                for name, method in methods_of(contract).items()
            ],
            inspect.getdoc(contract) or "",
        )
    except SchemaError as error:
        raise ContractError(str(error)) from error


def _facts(method: Method[..., Any], errors: Sequence[type[Exception]]) -> MethodFacts:
    options = method.options
    return MethodFacts(
        timeout=options.timeout,
        idempotent=options.idempotent,
        lane=options.lane,
        errors=(*errors, *options.errors),
        doc=inspect.cleandoc(method.__doc__ or ""),
        oneway=options.oneway,
    )
