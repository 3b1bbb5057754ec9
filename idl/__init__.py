"""The interface that a decorated class denotes: its methods, their types, and codecs for them.

Does not know transports, event loops or calls.
"""

from idl.codecs import ArgumentsCodec, CodecError, ResultCodec, ValueCodec, pack, unpack
from idl.jsonschema import json_schema
from idl.schema import MethodSchema, Parameter, SchemaError, differences, method_schema, spelled

__all__ = [
    "ArgumentsCodec",
    "CodecError",
    "MethodSchema",
    "Parameter",
    "ResultCodec",
    "SchemaError",
    "ValueCodec",
    "differences",
    "json_schema",
    "method_schema",
    "pack",
    "spelled",
    "unpack",
]
