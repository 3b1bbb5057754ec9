"""The interface that a decorated class denotes: its methods, their types, and codecs for them.

Does not know transports, event loops or calls.
"""

from idl.codecs import ArgumentsCodec, CodecError, ResultCodec, ValueCodec, pack, unpack
from idl.compat import Finding, Side, compare, compare_all, conversation
from idl.contract import (
    MethodDescription,
    MethodFacts,
    ServiceDescription,
    describe,
    dump_lock,
    load_lock,
    service_from,
)
from idl.jsonschema import json_schema
from idl.schema import MethodSchema, Parameter, SchemaError, differences, method_schema, spelled
from idl.shapes import MalformedSchema, canonical

__all__ = [
    "ArgumentsCodec",
    "CodecError",
    "Finding",
    "MalformedSchema",
    "MethodDescription",
    "MethodFacts",
    "MethodSchema",
    "Parameter",
    "ResultCodec",
    "SchemaError",
    "ServiceDescription",
    "Side",
    "ValueCodec",
    "canonical",
    "compare",
    "compare_all",
    "conversation",
    "describe",
    "differences",
    "dump_lock",
    "json_schema",
    "load_lock",
    "method_schema",
    "pack",
    "service_from",
    "spelled",
    "unpack",
]
