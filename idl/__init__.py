"""The interface that a decorated class denotes: its methods, their types, and codecs for them.

Does not know transports, event loops or calls.
"""

from idl.codecs import ArgumentsCodec, ResultCodec
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
from idl.jsonschema import json_schema, json_schema_of
from idl.markdown import markdown_of
from idl.packing import CodecError, pack, unpack
from idl.proto import ProtoError, proto_of
from idl.proto_import import import_proto
from idl.schema import (
    MethodKind,
    MethodSchema,
    Parameter,
    SchemaError,
    differences,
    method_schema,
    spelled,
)
from idl.shapes import MalformedSchema, canonical
from idl.value_codecs import ValueCodec

__all__ = [
    "ArgumentsCodec",
    "CodecError",
    "Finding",
    "MalformedSchema",
    "MethodDescription",
    "MethodFacts",
    "MethodKind",
    "MethodSchema",
    "Parameter",
    "ProtoError",
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
    "import_proto",
    "json_schema",
    "json_schema_of",
    "load_lock",
    "markdown_of",
    "method_schema",
    "pack",
    "proto_of",
    "service_from",
    "spelled",
    "unpack",
]
