"""JSON Schema (2020-12) of types and services, for tools that have no Python types.

It describes values as `mrpc call` takes and prints them: what JSON has no type for is text, and
bytes are text of their own encoding. Source: docs/evolution.md#export.
"""

from base64 import b64decode
from typing import Any, Final

from idl.contract import MethodDescription, ServiceDescription
from idl.hints import Describer
from idl.schema import SchemaError
from idl.shapes import BYTES, Definition, Definitions, Json, Member, Shape

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_SCALARS: Final[dict[str, dict[str, Json]]] = {
    "any": {},
    "none": {"type": "null"},
    "bool": {"type": "boolean"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "str": {"type": "string"},
    "bytes": {"type": "string", "format": "binary"},
    "datetime": {"type": "string", "format": "date-time"},
    "date": {"type": "string", "format": "date"},
    "time": {"type": "string", "format": "time"},
    "timedelta": {"type": "string", "format": "duration"},
    "decimal": {"type": ["string", "number"]},
    "uuid": {"type": "string", "format": "uuid"},
}
_LIMITS: Final = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
}
_SIZES: Final = {"list": "Items", "set": "Items", "dict": "Properties"}  # else Length


def json_schema(annotation: Any) -> dict[str, Any]:
    """The JSON Schema of a value of this type; empty where there is none."""
    describer = Describer()
    try:
        shape = describer.shape(annotation)
    except SchemaError:
        return {}  # any value, as far as JSON Schema can say
    schema = _schema(shape)
    reached = Definitions(describer.definitions).reached([shape])
    if reached:
        schema["$defs"] = {name: _definition(each) for name, each in reached.items()}
    return schema


def json_schema_of(service: ServiceDescription) -> dict[str, Any]:
    """One document for a service: its types, and the arguments and results of its methods."""
    shapes = [shape for method in service.methods.values() for shape in method.shapes()]
    reached = service.definitions.reached(shapes)
    types: dict[str, Json] = {name: _definition(each) for name, each in reached.items()}
    for name, method in service.methods.items():
        types |= {f"{name}.{part}": schema for part, schema in _parts(method).items()}
    document: dict[str, Any] = {"$schema": DIALECT, "title": service.name, "$defs": types}
    if service.doc:
        document["description"] = service.doc
    return document


def _parts(method: MethodDescription) -> dict[str, Json]:
    """A lone argument is its value, several are an object by name."""
    takes = method.parameters
    arguments = _schema(takes[0].shape) if len(takes) == 1 else _record(takes, is_closed=False)
    parts: dict[str, Json] = {
        "arguments": arguments,
        "result": _schema(method.result),
    }
    if method.requests is not None:
        parts["requests"] = _schema(method.requests.shape)
    return parts


def _definition(definition: Definition) -> Json:
    if definition.kind == "enum":
        return {
            "title": definition.name,
            "enum": [_printed(value) for _, value in definition.values],
        }
    title: dict[str, Json] = {"title": definition.name}
    if definition.layout == "map":
        return title | _record(definition.members, is_closed=definition.refuses_unknown)
    schema: dict[str, Json] = title | _tuple([each.shape for each in definition.members])
    schema["minItems"] = sum(each.required for each in definition.members)
    if not definition.refuses_unknown:
        del schema["items"]
    return schema


def _record(members: tuple[Member, ...], *, is_closed: bool) -> dict[str, Json]:
    properties: dict[str, Json] = {each.name: _schema(each.shape) for each in members}
    schema: dict[str, Json] = {"type": "object", "properties": properties}
    required: list[Json] = [each.name for each in members if each.required]
    if required:
        schema["required"] = required
    if is_closed:
        schema["additionalProperties"] = False
    return schema


def _tuple(shapes: list[Shape]) -> dict[str, Json]:
    if not shapes:
        return {"type": "array", "maxItems": 0}
    items: list[Json] = [_schema(each) for each in shapes]
    return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}


def _schema(shape: Shape) -> dict[str, Json]:
    match shape.kind:
        case "ref":
            name = shape.name.replace("~", "~0").replace("/", "~1").replace("%", "%25")
            schema: dict[str, Json] = {"$ref": f"#/$defs/{name}"}
        case "literal":
            schema = {"enum": [_printed(value) for value in shape.values]}
        case "union":
            schema = {"anyOf": [_schema(each) for each in shape.of]}
        case "list":
            schema = {"type": "array", "items": _schema(shape.of[0])}
        case "set":
            schema = {"type": "array", "items": _schema(shape.of[0]), "uniqueItems": True}
        case "tuple":
            schema = _tuple(list(shape.of))
        case "dict":
            schema = {"type": "object", "additionalProperties": _schema(shape.of[1])}
        case "other":
            schema = {"title": shape.name}
        case scalar:
            schema = dict(_SCALARS[scalar])
    return schema | _limits(shape)


def _printed(value: Json) -> Json:
    """Bytes are text if they can be."""
    if not isinstance(value, dict) or BYTES not in value:
        return value
    try:
        return b64decode(str(value[BYTES])).decode()
    except ValueError:
        return value


def _limits(shape: Shape) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for name, limit in shape.limits:
        if name in _LIMITS:
            found[_LIMITS[name]] = limit
        elif name in ("min_length", "max_length"):
            found[name[:3] + _SIZES.get(shape.kind, "Length")] = limit
    return found
