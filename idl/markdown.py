"""A service as a page for people: methods with their signatures and promises, then types."""

from collections.abc import Iterator

from idl.contract import MethodDescription, ServiceDescription
from idl.shapes import Definition, Member


def markdown_of(service: ServiceDescription) -> str:
    """The whole page."""
    shapes = [shape for method in service.methods.values() for shape in method.shapes()]
    reached = service.definitions.reached(shapes)
    lines = [f"# {service.name}", "", f"Version {service.version}."]
    if service.doc:
        lines += ["", service.doc]
    lines += ["", "## Methods"]
    for method in service.methods.values():
        lines += ["", *_method(method)]
    if reached:
        lines += ["", "## Types"]
    for definition in reached.values():
        lines += ["", *_definition(definition)]
    return "\n".join(lines) + "\n"


def signature(method: MethodDescription) -> str:
    """A method as it would stand in Python."""
    takes = [_parameter(each) for each in method.parameters]
    if method.requests is not None:
        takes.insert(0, f"{method.requests.name}: AsyncIterator[{method.requests.shape}]")
    gives = str(method.result)
    if method.kind in ("server_stream", "bidirectional"):
        gives = f"AsyncIterator[{gives}]"
    return f"{method.name}({', '.join(takes)}) -> {gives}"


def _method(method: MethodDescription) -> Iterator[str]:
    yield f"### {method.name}"
    yield ""
    yield f"`{signature(method)}`"
    if method.doc:
        yield ""
        yield method.doc
    yield ""
    yield f"- timeout: {method.timeout:g} s"
    yield f"- idempotent: {_yes(method.idempotent)}"
    if method.kind == "oneway":
        yield "- one-way: done when it was sent; nobody waits for an answer"
    if method.lane:
        yield f"- lane: {method.lane}, in which calls are delivered in order"
    if method.errors:
        yield f"- raises: {', '.join(method.errors)}"


def _definition(definition: Definition) -> Iterator[str]:
    of = "" if definition.kind == "record" else f" ({definition.kind})"
    yield f"### {definition.name}{of}"
    yield ""
    if definition.kind == "enum":
        yield "| name | value |"
        yield "|---|---|"
        for name, value in definition.values:
            yield f"| {name} | `{value!r}` |"
        return
    if definition.code:
        yield f"An RpcError with the code {definition.code}."
        if not definition.members:
            return
        yield ""
    yield "| field | type | default |"
    yield "|---|---|---|"
    for member in definition.members:
        default = "" if member.required else f"`{member.default}`"
        yield f"| {member.name} | `{str(member.shape).replace('|', chr(92) + '|')}` | {default} |"


def _parameter(member: Member) -> str:
    default = "" if member.required else f" = {member.default}"
    return f"{member.name}: {member.shape}{default}"


def _yes(idempotent: bool | str) -> str:
    return idempotent if isinstance(idempotent, str) else "yes" if idempotent else "no"
