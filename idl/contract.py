"""A contract as data: its canonical form, its fingerprints, and lock files that hold both.

The canonical form is JSON with sorted keys that depends neither on the order of definitions nor on
the version of Python. A fingerprint is the first 64 bits of its SHA-256, in hexadecimal.
Knows no class: `describe` takes methods as `idl.schema` read them.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, get_args

from idl.annotated import jsonable
from idl.hints import Describer
from idl.schema import MethodKind, MethodSchema, Parameter
from idl.shapes import (
    Definitions,
    Json,
    MalformedSchema,
    Member,
    Shape,
    canonical,
    definition_from,
    list_from,
    member_from,
    object_from,
    shape_from,
    text_from,
)

FORMAT: Final = 1
_TIMEOUT_MAX: Final = 1e12  # seconds
_KINDS: Final[dict[str, MethodKind]] = {kind: kind for kind in get_args(MethodKind)}


@dataclass(frozen=True, slots=True)
class MethodFacts:
    """What a contract says of a method besides its signature. Units: seconds."""

    timeout: float
    idempotent: bool | str = False
    lane: int = 0
    errors: tuple[type[Exception], ...] = ()
    doc: str = ""
    oneway: bool = False  # nobody waits for an answer


@dataclass(frozen=True, slots=True)
class MethodDescription:
    """A method; `parameters` in order, `requests` the items of the stream that it takes."""

    name: str
    kind: MethodKind
    parameters: tuple[Member, ...]
    requests: Member | None
    result: Shape
    timeout: float
    idempotent: bool | str
    lane: int
    errors: tuple[str, ...]
    doc: str = field(default="", compare=False)

    def shapes(self) -> list[Shape]:
        """All that it names directly."""
        requests = [] if self.requests is None else [self.requests.shape]
        errors = [Shape("ref", name=f"error {name}") for name in self.errors]
        return [*(each.shape for each in self.parameters), *requests, self.result, *errors]

    def to_json(self) -> dict[str, Json]:
        entry: dict[str, Json] = {
            "kind": self.kind,
            "parameters": [each.to_json() for each in self.parameters],
            "result": self.result.to_json(),
            "timeout": self.timeout,
            "idempotent": self.idempotent,
            "lane": self.lane,
            "errors": list(self.errors),
        }
        if self.requests is not None:
            entry["requests"] = self.requests.to_json()
        return entry


@dataclass(frozen=True, slots=True)
class ServiceDescription:
    """A service with all the definitions that its methods name."""

    name: str
    version: int
    methods: dict[str, MethodDescription]
    definitions: Definitions
    doc: str = field(default="", compare=False)

    def to_json(self) -> dict[str, Json]:
        """The canonical form, as a lock file holds it."""
        methods: dict[str, Json] = {name: each.to_json() for name, each in self.methods.items()}
        return {
            "name": self.name,
            "version": self.version,
            "methods": methods,
            "definitions": self._definitions(list(self.methods.values())),
        }

    @property
    def fingerprint(self) -> str:
        """Of the whole service; it changes with whatever is in the canonical form."""
        return fingerprint(self.to_json())

    def method_fingerprint(self, name: str) -> str:
        """Of the method and of what it names, whatever else the service has."""
        method = self.methods[name]
        form: dict[str, Json] = {"name": f"{self.name}/{name}", "method": method.to_json()}
        return fingerprint(form | {"definitions": self._definitions([method])})

    def _definitions(self, methods: list[MethodDescription]) -> Json:
        shapes = [shape for method in methods for shape in method.shapes()]
        reached = self.definitions.reached(shapes)
        return {name: definition.to_json() for name, definition in reached.items()}


def fingerprint(form: Json) -> str:
    """64 bits of the SHA-256 of the canonical form."""
    return hashlib.sha256(canonical(form).encode()).hexdigest()[:16]


def describe(
    name: str, version: int, methods: Iterable[tuple[MethodSchema, MethodFacts]], doc: str = ""
) -> ServiceDescription:
    """The description of a service. Errors: SchemaError for a type that no schema can say."""
    describer = Describer()
    in_order = sorted(methods, key=lambda pair: pair[0].name)
    described = [_method(describer, schema, facts) for schema, facts in in_order]
    return ServiceDescription(
        name,
        version,
        {method.name: method for method in described},
        Definitions(describer.definitions),
        doc,
    )


def dump_lock(services: Sequence[ServiceDescription], target: str) -> str:
    """The text of a lock file; `target` is where the services were read from."""
    entries: list[Json] = []
    for service in sorted(services, key=lambda service: service.name):
        prints: dict[str, Json] = {
            name: service.method_fingerprint(name) for name in service.methods
        }
        entry = service.to_json()
        entry |= {"fingerprint": service.fingerprint, "fingerprints": prints}
        entries.append(entry)
    form: Json = {"format": FORMAT, "target": target, "services": entries}
    return json.dumps(form, indent=1, sort_keys=True) + "\n"


def load_lock(text: str) -> tuple[list[ServiceDescription], str]:
    """The services of a lock file, and where they were read from. Errors: MalformedSchema."""
    try:
        whole = object_from(json.loads(text), "the file")
    except (ValueError, RecursionError) as error:
        if isinstance(error, MalformedSchema):
            raise
        raise MalformedSchema(f"it is no JSON: {error}") from error
    if whole.get("format") != FORMAT:
        raise MalformedSchema(
            f"its format is {whole.get('format')!r}, and this version reads {FORMAT}"
        )
    services: list[ServiceDescription] = []
    for entry in list_from(whole.get("services"), "services"):
        service = service_from(entry)
        if object_from(entry, service.name).get("fingerprint") != service.fingerprint:
            raise MalformedSchema(
                f"{service.name}: its fingerprint is not that of what stands there; it was "
                "changed by hand: dump it again"
            )
        services.append(service)
    for name, count in Counter(service.name for service in services).items():
        if count > 1:
            raise MalformedSchema(f"it has {count} services called {name}")
    return services, text_from(whole.get("target", ""), "target")


def service_from(value: object) -> ServiceDescription:
    """The inverse of `ServiceDescription.to_json`. Errors: MalformedSchema."""
    entry = object_from(value, "a service")
    name = text_from(entry.get("name"), "a service: name")
    version = entry.get("version")
    if not isinstance(version, int):
        raise MalformedSchema(f"{name}: version must be an integer")
    definitions = Definitions(
        {
            key: definition_from(key.removeprefix("error "), each, f"{name}: {key}")
            for key, each in object_from(entry.get("definitions"), name).items()
        }
    )
    methods = {
        key: _method_from(key, each, f"{name}/{key}")
        for key, each in object_from(entry.get("methods"), name).items()
    }
    service = ServiceDescription(name, version, dict(sorted(methods.items())), definitions)
    try:
        service.to_json()
    except KeyError as error:
        raise MalformedSchema(f"{name}: it names {error}, and does not define it") from error
    return service


def _method(describer: Describer, schema: MethodSchema, facts: MethodFacts) -> MethodDescription:
    where = schema.name
    shapes = {
        each.name: describer.outermost(each.annotation, f"{where}: {each.name}")
        for each in sorted(schema.parameters, key=lambda each: each.name)
    }
    requests = schema.requests
    return MethodDescription(
        where.rpartition("/")[2],
        "oneway" if facts.oneway else schema.kind,
        tuple(_parameter(each, shapes[each.name]) for each in schema.parameters),
        None
        if requests is None
        else Member(
            requests.name, describer.outermost(requests.annotation, f"{where}: {requests.name}")
        ),
        describer.outermost(schema.result, f"{where}: the result"),
        float(facts.timeout),
        facts.idempotent,
        facts.lane,
        tuple(sorted(describer.error(kind) for kind in facts.errors)),
        facts.doc,
    )


def _parameter(parameter: Parameter, shape: Shape) -> Member:
    if parameter.required:
        return Member(parameter.name, shape)
    default = canonical(jsonable(parameter.default))
    return Member(parameter.name, shape, required=False, default=default, may_be_absent=True)


def _method_from(name: str, value: object, where: str) -> MethodDescription:
    entry = object_from(value, where)
    said = text_from(entry.get("kind"), f"{where}: kind")
    kind, requests, timeout = _KINDS.get(said), entry.get("requests"), entry.get("timeout")
    idempotent, lane = entry.get("idempotent"), entry.get("lane")
    if kind is None:
        raise MalformedSchema(f"{where}: {said!r} is no kind of method")
    if not (isinstance(timeout, int | float) and isinstance(lane, int)):
        raise MalformedSchema(f"{where}: timeout and lane must be numbers")
    if not 0 <= timeout < _TIMEOUT_MAX:
        raise MalformedSchema(f"{where}: {timeout} is no timeout")
    return MethodDescription(
        name,
        kind,
        tuple(member_from(each, where) for each in list_from(entry.get("parameters"), where)),
        None if requests is None else member_from(requests, where),
        shape_from(entry.get("result"), f"{where} ->"),
        float(timeout),
        idempotent if isinstance(idempotent, str) else idempotent is True,
        lane,
        tuple(
            text_from(each, f"{where}: errors")
            for each in list_from(entry.get("errors", []), where)
        ),
    )
