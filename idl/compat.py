"""What a change of a contract does: to old clients of a new server, and to new clients of an old.

Both are told, since servers and clients are never replaced at the same instant.
Source: docs/evolution.md.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Final, Literal, TypeAlias

from idl.contract import MethodDescription, ServiceDescription
from idl.reading import Problem, Reading, Severity
from idl.shapes import Codec, Definition, Definitions, Member, Shape

Who: TypeAlias = Literal["old clients", "new clients"]
LONE: Final = (
    "a lone argument travels as its value, several as a map by name: "
    "put what is new into the argument's own type"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A change, whom it concerns, and what it does to them."""

    severity: Severity
    who: Who
    where: str
    why: str

    def __str__(self) -> str:
        server = "a new server" if self.who == "old clients" else "an old server"
        return f"{self.severity}: {self.who} of {server}: {self.where}: {self.why}"

    def as_dict(self) -> dict[str, str]:
        """For `--json`."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Side:
    """A contract as one side of a conversation has it; `name` is for sentences."""

    name: str
    service: ServiceDescription


def compare(old: ServiceDescription, new: ServiceDescription) -> list[Finding]:
    """All that changed between two versions of a service; nothing if nothing did."""
    found: list[Finding] = []
    for who, client, server in (
        ("old clients", Side("an old client", old), Side("a new server", new)),
        ("new clients", Side("a new client", new), Side("an old server", old)),
    ):
        side: Who = "old clients" if who == "old clients" else "new clients"
        for name, method in client.service.methods.items():
            where = f"{old.name}/{name}"
            theirs = server.service.methods.get(name)
            if theirs is None:
                found.append(_lacking(side, method, client, server))
                continue
            found += [
                Finding(problem.severity, side, _place(where, problem.path), problem.sentence)
                for problem in conversation(client, server, name)
            ]
            found += _declared(side, where, method, theirs)
    return list(dict.fromkeys(found))


def compare_all(
    old: Iterable[ServiceDescription], new: Iterable[ServiceDescription]
) -> list[Finding]:
    """The same for all services of a program."""
    before, after = ({each.name: each for each in services} for services in (old, new))
    found: list[Finding] = []
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            found.append(Finding("breaking", "old clients", name, "the service was removed"))
        elif name not in before:
            why = "the service is new: upgrade servers first"
            found.append(Finding("risky", "new clients", name, why))
        else:
            found += compare(before[name], after[name])
    return found


def conversation(client: Side, server: Side, name: str) -> list[Problem]:
    """What goes wrong when this client calls the method `name` of this server; both have it."""
    ours, theirs = client.service.methods[name], server.service.methods[name]
    if ours.kind != theirs.kind:
        sentence = f"it is {_kind(ours)} for {client.name}, and {_kind(theirs)} for {server.name}"
        return [Problem("breaking", "", sentence)]
    problems = _arguments(_Reading(server, client), theirs, ours)
    if ours.requests is not None and theirs.requests is not None:
        items = (theirs.requests.shape, ours.requests.shape)
        problems += _outermost(_Reading(server, client, items), *items, theirs.requests.name)
    results = (ours.result, theirs.result)
    problems += _outermost(_Reading(client, server, results, "compatible"), *results, "->")
    return problems + list(_errors(client, server, ours, theirs))


class _Reading(Reading):
    """Reading, with the sides at hand; `root` are the outermost shapes of reader and writer."""

    def __init__(
        self,
        reader: Side,
        writer: Side,
        root: tuple[Shape, Shape] | None = None,
        ignoring: Severity = "risky",
    ) -> None:
        super().__init__(
            reader.name,
            reader.service.definitions,
            writer.name,
            writer.service.definitions,
            strict=root is not None and root[0].codec == "struct",
            from_struct=root is not None and root[1].codec == "struct",
            ignoring=ignoring,
        )
        self.reader, self.writer = reader, writer


def _arguments(
    reading: _Reading, reader: MethodDescription, writer: MethodDescription
) -> list[Problem]:
    takes, sends = reader.parameters, writer.parameters
    if not takes:
        return [reading.ignored("", each.name) for each in sends]
    if not sends:
        return [
            problem
            for each in takes
            if each.shape.codec not in ("raw", "nothing") or len(takes) > 1
            if (problem := reading.missing(each, "")) is not None
        ]
    if len(takes) == len(sends) == 1:
        lone = (takes[0].shape, sends[0].shape)
        compared = _Reading(reading.reader, reading.writer, lone)
        return _outermost(compared, *lone, takes[0].name)
    if len(takes) > 1 and len(sends) > 1:
        return _by_name(reading, takes, sends)
    return _lone_and_several(reading, takes, sends)


def _by_name(
    reading: _Reading, takes: tuple[Member, ...], sends: tuple[Member, ...]
) -> list[Problem]:
    """Each argument has a codec of its own, so msgspec may read one and pydantic another."""
    found: list[Problem] = []
    for is_struct in (False, True):
        part = tuple(each for each in takes if (each.shape.codec == "struct") is is_struct)
        names = {each.name for each in part}
        sent = tuple(each for each in sends if each.name in names)
        codec: Codec = "struct" if is_struct else ""
        root = (Shape("any", codec=codec), Shape("any"))
        compared = _Reading(reading.reader, reading.writer, root)
        found += compared.record(_arguments_record(part), _arguments_record(sent), "")
    known = {each.name for each in takes}
    return found + [reading.ignored("", each.name) for each in sends if each.name not in known]


def _lone_and_several(
    reading: _Reading, takes: tuple[Member, ...], sends: tuple[Member, ...]
) -> list[Problem]:
    """One side has one argument, and the other several, which travel as one record would."""
    reads = dict(reading.reader.service.definitions.by_name)
    writes = dict(reading.writer.service.definitions.by_name)
    several = Shape("ref", name="(arguments)")
    lone = min(takes, sends, key=len)[0]
    taken, sent = (several, lone.shape) if len(takes) > 1 else (lone.shape, several)
    if len(takes) > 1:
        reads[several.name] = _arguments_record(takes)
    else:
        writes[several.name] = _arguments_record(sends)
    compared = Reading(
        reading.reader.name,
        Definitions(reads),
        reading.writer.name,
        Definitions(writes),
        strict=taken.codec == "struct",
        from_struct=sent.codec == "struct",
    )
    path = lone.name if taken is lone.shape else ""
    problems = [] if lone.shape.codec == "raw" else compared.value(taken, sent, path)
    if lone.shape.codec == "raw" or any(each.severity == "breaking" for each in problems):
        return [Problem("breaking", path, LONE)]
    return problems


def _outermost(reading: _Reading, reader: Shape, writer: Shape, path: str) -> list[Problem]:
    """An argument or result that is a payload of its own."""
    apart = {reader.codec, writer.codec} & {"raw", "nothing"}
    if not apart or reader.codec == writer.codec:
        return reading.value(reader, writer, path)
    if (reader.codec, writer.codec) == ("raw", "nothing"):
        return [Problem("risky", path, f"{reading.reader.name} takes nothing for empty bytes")]
    sentence = f"{reading.writer.name} sends {_payload(writer)}, and {reading.reader.name} takes "
    return [Problem("breaking", path, sentence + _payload(reader))]


def _errors(
    client: Side, server: Side, ours: MethodDescription, theirs: MethodDescription
) -> Iterator[Problem]:
    for name in theirs.errors:
        if name not in ours.errors:
            sentence = f"{server.name} may raise it, and {client.name} gets an RpcError instead"
            yield Problem("risky", f"error {name}", sentence)
            continue
        shape = Shape("ref", name=f"error {name}")
        raised, known = server.service.definitions[shape], client.service.definitions[shape]
        problems = _Reading(client, server).record(known, raised, "")
        fields = {each.name for each in raised.members} ^ {each.name for each in known.members}
        if fields or problems:
            sentence = f"its fields differ, and {client.name} may get an RpcError instead"
            yield Problem("risky", f"error {name}", sentence)
        elif raised.code != known.code:
            theirs_is, ours_is = (each.code or "UNKNOWN" for each in (raised, known))
            sentence = f"its code is {theirs_is} for {server.name}, and {ours_is} for {client.name}"
            yield Problem("risky", f"error {name}", sentence)


def _declared(
    who: Who, where: str, client: MethodDescription, server: MethodDescription
) -> Iterator[Finding]:
    """What a contract declares to clients about calls."""
    if client.timeout != server.timeout:
        why = f"their timeout is {client.timeout:g} s, and the server's contract says "
        yield Finding("compatible", who, where, f"{why}{server.timeout:g} s")
    if client.idempotent == "keyed" and server.idempotent != "keyed":
        why = "their calls carry keys, and a server whose contract is not keyed refuses those"
        yield Finding("breaking", who, where, why)
    elif client.idempotent and server.idempotent == "keyed":
        if client.idempotent != "keyed":
            why = "they may send a call twice, without the key by which it would be executed once"
            yield Finding("risky", who, where, why)
    elif client.idempotent and client.idempotent != server.idempotent:
        why = "they may send a call twice, and the server's contract no longer says that they may"
        if who == "new clients":
            why = "they may send a call twice, and an old server is not made for that"
        yield Finding("risky", who, where, why)
    elif client.idempotent != server.idempotent:
        yield Finding("compatible", who, where, "they never send a call twice")
    if client.lane != server.lane:
        why = f"their calls use lane {client.lane}, and the server's contract says {server.lane}"
        yield Finding("compatible", who, where, why)


def _lacking(who: Who, method: MethodDescription, client: Side, server: Side) -> Finding:
    where = f"{client.service.name}/{method.name}"
    if who == "new clients":
        return Finding("risky", who, where, "the method is new: upgrade servers first")
    alike = [
        name
        for name, other in server.service.methods.items()
        if name not in client.service.methods and _signature(other) == _signature(method)
    ]
    why = "the method was removed"
    if alike:
        why += f"; {alike[0]} has the same signature: a name that travels cannot be changed"
    return Finding("breaking", who, where, why)


def _signature(method: MethodDescription) -> object:
    return method.kind, method.parameters, method.requests, method.result


def _arguments_record(members: tuple[Member, ...]) -> Definition:
    return Definition("record", "the arguments", members)


def _payload(shape: Shape) -> str:
    if shape.codec == "nothing":
        return "nothing"
    return "raw bytes" if shape.codec == "raw" else f"a value ({shape})"


def _kind(method: MethodDescription) -> str:
    if method.kind in ("unary", "oneway"):
        return method.kind
    return f"a {method.kind.replace('_', ' ')}"


def _place(where: str, path: str) -> str:
    if path.startswith("->"):
        return f"{where} {path}"
    return f"{where}: {path}" if path else where
