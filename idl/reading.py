"""Whether one side can read what the other may write, and as what: the rules of evolution.

A problem is "breaking" if some value that the writer may send is refused, or arrives as another;
"risky" if every value is taken but something of it is lost or reads differently. The rules are
those of the codecs, which tests hold them to; docs/evolution.md says them in words.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from idl.conversions import (
    BOOLS,
    DIGITS_MAX,
    EXACT_LOSSY,
    EXACT_WHOLE,
    LOSSY,
    MISTAKEN,
    STRICT_LOSSY,
    STRICT_WHOLE,
    WHOLE,
    identity,
    scalar_of,
)
from idl.limits import altered, exceeded, keeps_to
from idl.shapes import Definition, Definitions, Json, Member, Shape

Severity: TypeAlias = Literal["compatible", "risky", "breaking"]
SEVERITIES: Final[tuple[Severity, ...]] = ("compatible", "risky", "breaking")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing in which the sides differ. `path` leads to it from the argument or result."""

    severity: Severity
    path: str
    sentence: str


class Reading:
    """Compares what `reads` takes with what `writes` sends; both are words for sentences."""

    def __init__(
        self,
        reads: str,
        reader: Definitions,
        writes: str,
        writer: Definitions,
        *,
        strict: bool = False,
        from_struct: bool = False,
        ignoring: Severity = "risky",
    ) -> None:
        self._reads, self._reader = reads, reader
        self._writes, self._writer = writes, writer
        self._strict = strict  # msgspec reads, which converts less
        self._from_struct = from_struct  # msgspec writes, and times with a zone are no text
        self._ignoring: Severity = ignoring  # a field, as who reads a result may well do
        self._compared: dict[tuple[str, str], list[Problem]] = {}

    def value(self, reader: Shape, writer: Shape, path: str) -> list[Problem]:
        """The problems of a value of one type."""
        if reader.kind == "any" and not reader.limits:
            return []
        if writer.kind == "union":
            found = [
                each for one in writer.of for each in self._value(reader, one, path, writer.of)
            ]
            return list(dict.fromkeys(found))
        return self._value(reader, writer, path)

    def _value(
        self, reader: Shape, writer: Shape, path: str, siblings: tuple[Shape, ...] = ()
    ) -> list[Problem]:
        """Of no union, but maybe of an alternative; `siblings` are all that the writer has."""
        if reader.kind == "union":
            problems = self._alternatives(reader, writer, path)
            return problems or self._mistaken(reader, writer, path, siblings)
        problems = self._picked(reader, writer, path)
        values = self._values(writer, self._writer)
        if writer.kind == "bool" and self._values(reader, self._reader) is not None:
            values = BOOLS
        if values is not None:
            return problems + self._chosen(reader, values, path)
        problems += self._limits(reader, writer, path)
        if reader.kind == "any":
            return problems
        if reader.kind == "ref" and writer.kind == "ref":
            problems += self._tag(reader, writer, path)
            return problems + self._definitions(reader, writer, path)
        return problems + self._kinds(reader, writer, path)

    def record(self, reader: Definition, writer: Definition, path: str) -> list[Problem]:
        """The problems of two records."""
        if reader.kind == "enum" or reader.layout != writer.layout:
            sends = "an array" if writer.layout == "array" else "a map"
            return [self._breaks(path, f"{self._writes} sends {writer.name} as {sends}")]
        if reader.layout == "array":
            return list(self._array(reader, writer, path))
        return list(self._map(reader, writer, path))

    def ignored(self, path: str, name: str) -> Problem:
        """What becomes of a field that the reader does not know."""
        sentence = f"{self._reads} ignores it: it has no such field"
        return Problem(self._ignoring, _joined(path, name), sentence)

    def missing(self, member: Member, path: str) -> Problem | None:
        """What becomes of a field that the writer does not know, or leaves out."""
        if not member.required:
            return None
        return self._breaks(
            _joined(path, member.name), f"{self._reads} needs it, and {self._writes} lacks it"
        )

    def _definitions(self, reader: Shape, writer: Shape, path: str) -> list[Problem]:
        """Each pair once: what names itself is compared where it began."""
        names = (reader.name, writer.name)
        if names not in self._compared:
            self._compared[names] = []
            self._compared[names] = self.record(self._reader[reader], self._writer[writer], "")
        return [
            Problem(each.severity, _joined(path, each.path), each.sentence)
            for each in self._compared[names]
        ]

    def _tag(self, reader: Shape, writer: Shape, path: str) -> list[Problem]:
        """The field by which pydantic tells alternatives apart, which must be there."""
        tag = dict(reader.limits).get("discriminator")
        members = _sent(self._writer[writer])
        if tag not in {each.name for each in self._reader[reader].members}:
            return []  # there is none, or it travels under another name
        if tag in members and not members[tag].may_be_absent:
            return []
        sentence = f"{self._reads} tells alternatives apart by it, and {self._writes} lacks it"
        return [self._breaks(_joined(path, str(tag)), sentence)]

    def _picked(self, reader: Shape, writer: Shape, path: str) -> list[Problem]:
        """A function of the user's may tell alternatives apart, and refuse what it does not."""
        tag = dict(reader.limits).get("discriminator")
        is_known = not str(tag).endswith("()") or ("discriminator", tag) in writer.limits
        sentence = f"{self._reads} tells alternatives apart by {tag}, and it may refuse this one"
        return [] if is_known else [Problem("risky", path, sentence)]

    def _map(self, reader: Definition, writer: Definition, path: str) -> Iterator[Problem]:
        known = {member.name: member for member in reader.members if not member.is_only_sent}
        sent = _sent(writer)
        for name, member in known.items():
            writers = sent.get(name)
            if writers is None:
                problem = self.missing(member, path)
            else:
                yield from self.value(member.shape, writers.shape, _joined(path, name))
                problem = self.missing(member, path) if writers.may_be_absent else None
                if problem is None and writers.may_be_absent:
                    problem = self._defaults(member, writers, path)
            if problem is not None:
                yield problem
        if writer.sends_unknown:
            lacking = (member for name, member in sorted(known.items()) if name not in sent)
            yield from self._unknown(reader, writer, lacking, path)
        computed = {each.name for each in reader.members if each.is_only_sent}
        for name in sent.keys() - known.keys():
            if name in computed and sent[name].is_only_sent:
                continue  # both make their own
            if reader.refuses_unknown:
                yield self._breaks(_joined(path, name), f"{self._reads} refuses unknown fields")
            else:
                if reader.unknown is not None:
                    yield from self.value(reader.unknown, sent[name].shape, _joined(path, name))
                yield self.ignored(path, name)

    def _unknown(
        self, reader: Definition, writer: Definition, lacking: Iterable[Member], path: str
    ) -> Iterator[Problem]:
        """What becomes of fields that the writer sends without having declared them."""
        fields = writer.unknown or Shape("any")
        if reader.unknown is not None:
            yield from self.value(reader.unknown, fields, f"{path} (unknown fields)")
        if reader.refuses_unknown:
            sentence = f"{self._writes} may send any fields, and {self._reads} refuses unknown ones"
            yield self._breaks(path, sentence)
        for member in lacking:
            where = _joined(path, member.name)
            if writer.unknown is not None:
                yield from self.value(member.shape, writer.unknown, where)
            sentence = f"{self._writes} may send {fields} in it: it has not declared this field"
            yield Problem("risky", where, sentence)

    def _array(self, reader: Definition, writer: Definition, path: str) -> Iterator[Problem]:
        takes, sends = ([each.name for each in record.members] for record in (reader, writer))
        if takes != sends and set(takes) == set(sends):
            order = f"{self._reads} reads its fields in another order: it is sent by position"
            yield self._breaks(path, order)
            return
        for member, writers in zip(reader.members, writer.members, strict=False):
            if member.name != writers.name:
                sentence = f"{self._reads} takes it for {member.name}: it is sent by position"
                yield Problem("risky", _joined(path, writers.name), sentence)
            yield from self.value(member.shape, writers.shape, _joined(path, member.name))
        for member in reader.members[len(writer.members) :]:
            problem = self.missing(member, path)
            if problem is not None:
                yield problem
        for member in writer.members[len(reader.members) :]:
            if reader.refuses_unknown:
                yield self._breaks(
                    _joined(path, member.name), f"{self._reads} refuses a longer array"
                )
            else:
                yield self.ignored(path, member.name)

    def _defaults(self, reader: Member, writer: Member, path: str) -> Problem | None:
        if reader.default == writer.default:
            return None
        sentence = (
            f"left out it is {reader.default} for {self._reads}, and {writer.default} for "
            f"{self._writes}"
        )
        return Problem("risky", _joined(path, reader.name), sentence)

    def _alternatives(self, reader: Shape, writer: Shape, path: str) -> list[Problem]:
        """Problems with the alternative that takes it best."""
        values = self._values(writer, self._writer)
        if values is not None and len(values) > 1:
            each = [Shape("literal", values=(value,)) for value in values]
            return [one for shape in each for one in self._alternatives(reader, shape, path)]
        attempts = [(self.value(shape, writer, path), shape) for shape in reader.of]
        problems, _ = min(attempts, key=lambda attempt: (worst(attempt[0]), attempt[1] != writer))
        if worst(problems) < SEVERITIES.index("breaking"):
            return problems
        alike = [
            found
            for found, shape in attempts
            if shape.kind == writer.kind and shape.name == writer.name
        ]
        return alike[0] if alike else [self._takes_not(reader, writer, path)]

    def _mistaken(
        self, reader: Shape, writer: Shape, path: str, siblings: tuple[Shape, ...]
    ) -> list[Problem]:
        """Other alternatives that may take it, where pydantic tries one after the other."""
        kinds = {each.kind for each in reader.of if each.kind == "str" or not _strictness(each)}
        is_there = any(each.kind == "int" for each in reader.of)
        if self._strict or (writer.kind == "int" and is_there):
            return []
        others = kinds & MISTAKEN.get(writer.kind, frozenset())
        if writer.kind != "int":  # which is never taken for another by its own contract
            others -= {each.kind for each in siblings}
        sentence = f"{self._writes} sends {writer}, which {self._reads} may take for "
        return [Problem("risky", path, sentence + each) for each in sorted(others)]

    def _chosen(self, reader: Shape, values: tuple[Json, ...], path: str) -> list[Problem]:
        """One of a few values is written."""
        is_bool = reader.kind == "bool" and not self._strict and not _strictness(reader)
        known = BOOLS if is_bool else self._values(reader, self._reader)
        refused: list[Json] = []
        found: list[Problem] = []
        if known is not None:
            taken = [identity(each, is_exact=self._strict) for each in known]
            refused = [one for one in values if identity(one, is_exact=self._strict) not in taken]
        else:
            for value in values:
                problems = self._converted(reader, value, path)
                keeps = all(keeps_to(*limit, value) for limit in reader.limits)
                if not keeps or worst(problems) == SEVERITIES.index("breaking"):
                    refused.append(value)
                found += problems
        if not refused:
            return found
        listed = ", ".join(repr(value) for value in refused)
        return [
            self._breaks(
                path,
                f"{self._writes} may send {listed}, and {self._reads} does not "
                f"take {'them' if len(refused) > 1 else 'it'}",
            )
        ]

    def _converted(self, reader: Shape, value: Json, path: str) -> list[Problem]:
        """What becomes of one value in another type, whatever its limits."""
        if reader.kind == "float" and type(value) is int and abs(value) <= DIGITS_MAX:
            return []
        unlimited = replace(reader, limits=_strictness(reader))
        return self.value(unlimited, Shape(scalar_of(value)), path)

    def _kinds(self, reader: Shape, writer: Shape, path: str) -> list[Problem]:
        match reader.kind, writer.kind:
            case ("list" | "set", "list" | "set"):
                return self._collections(reader, writer, path)
            case ("list" | "set", "tuple"):
                return [
                    each for one in writer.of for each in self.value(reader.of[0], one, f"{path}[]")
                ]
            case "tuple", "tuple" if len(reader.of) == len(writer.of):
                return [
                    each
                    for number, pair in enumerate(zip(reader.of, writer.of, strict=True))
                    for each in self.value(*pair, f"{path}[{number}]")
                ]
            case "dict", "dict":
                keys = self.value(reader.of[0], writer.of[0], f"{path} (keys)")
                return keys + self.value(reader.of[1], writer.of[1], f"{path}[]")
            case "dict", "ref" if self._writer[writer].layout == "map":
                members = _sent(self._writer[writer]).values()
                names = Shape("literal", values=tuple(member.name for member in members))
                keys = self.value(reader.of[0], names, f"{path} (keys)")
                return keys + [
                    each
                    for member in members
                    for each in self.value(reader.of[1], member.shape, _joined(path, member.name))
                ]
            case _:
                return self._scalars(reader, writer, path)

    def _scalars(self, reader: Shape, writer: Shape, path: str) -> list[Problem]:
        are_alike = (reader.kind, reader.name) == (writer.kind, writer.name)
        if are_alike and not reader.of and not writer.of:  # one of both may be tuple[()]
            return []
        if self._strict:
            whole, lossy = STRICT_WHOLE, STRICT_LOSSY
        elif _strictness(reader):
            whole, lossy = EXACT_WHOLE, EXACT_LOSSY
        else:
            whole, lossy = WHOLE, LOSSY
        if writer.kind in whole.get(reader.kind, set[str]()):
            return []
        if self._from_struct and writer.kind == "datetime" and reader.kind != "datetime":
            return [self._takes_not(reader, writer, path)]
        if writer.kind in lossy.get(reader.kind, frozenset[str]()):
            sentence = f"{self._writes} sends {writer}, which {self._reads} takes as {reader}"
            return [Problem("risky", path, sentence)]
        return [self._takes_not(reader, writer, path)]

    def _collections(self, reader: Shape, writer: Shape, path: str) -> list[Problem]:
        problems = self.value(reader.of[0], writer.of[0], f"{path}[]")
        if reader.kind == "set" and writer.kind == "list":
            sentence = f"{self._reads} takes a list for a set: order and repetitions are lost"
            problems.append(Problem("risky", path, sentence))
        is_open = reader.kind == "set" and reader.of[0].kind == "any"
        if is_open and self._may_be_unhashable(writer.of[0], is_in_list=writer.kind == "list"):
            sentence = f"{self._writes} sends {writer}, and what is in a set cannot be an array"
            problems.append(self._breaks(path, f"{sentence} or a map for {self._reads}"))
        return problems

    def _may_be_unhashable(self, item: Shape, *, is_in_list: bool) -> bool:
        """Whether what it travels as may be an array or a map."""
        if item.kind == "union":
            return any(self._may_be_unhashable(each, is_in_list=is_in_list) for each in item.of)
        if item.kind == "ref":
            return self._writer[item].kind != "enum"
        return item.kind in ("list", "set", "tuple", "dict", "any" if is_in_list else "")

    def _limits(self, reader: Shape, writer: Shape, path: str) -> list[Problem]:
        """Limits that the reader has, and the writer has not or has wider."""
        found: list[Problem] = []
        if refused := ", ".join(f"{name}={limit!r}" for name, limit in exceeded(reader, writer)):
            asks = f"{self._reads} asks for {refused}"
            found.append(self._breaks(path, f"{asks}, and {self._writes} does not keep to it"))
        if changed := ", ".join(altered(reader, writer)):
            sentence = f"{self._reads} alters text ({changed}), and {self._writes} does not"
            found.append(Problem("risky", path, sentence))
        return found

    def _values(self, shape: Shape, definitions: Definitions) -> tuple[Json, ...] | None:
        if shape.kind == "literal":
            return shape.values
        if shape.kind == "ref" and definitions[shape].kind == "enum":
            return tuple(value for _, value in definitions[shape].values)
        return None

    def _takes_not(self, reader: Shape, writer: Shape, path: str) -> Problem:
        return self._breaks(
            path, f"{self._writes} sends {writer}, and {self._reads} takes {reader}"
        )

    def _breaks(self, path: str, sentence: str) -> Problem:
        return Problem("breaking", path, sentence)


def worst(problems: list[Problem]) -> int:
    """The index of the gravest severity; that of "compatible" if there is none."""
    return max((SEVERITIES.index(each.severity) for each in problems), default=0)


def _strictness(shape: Shape) -> tuple[tuple[str, Json], ...]:
    return tuple(each for each in shape.limits if each == ("strict", True))


def _sent(writer: Definition) -> dict[str, Member]:
    return {member.name: member for member in writer.members if not member.is_only_read}


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name
