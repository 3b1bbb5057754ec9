"""Values of any type that is made of plain ones are sent and read as through pydantic."""

import dataclasses
import itertools
from types import GenericAlias
from typing import Any, Literal, NotRequired, TypeAlias

import msgpack
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import TypedDict

from idl import unpack
from idl.plain import plain
from idl.value_codecs import PlainCodec, ValueCodec
from tests.idl.test_plain import floats, int64s, mutations, outcome, texts
from tests.idl.values import Colour, Level, Word

Typed: TypeAlias = tuple[Any, st.SearchStrategy[Any]]
"""A type, and its values."""

numbers = itertools.count(1)
leaves: list[Typed] = [
    (int, int64s), (str, texts), (float, floats), (bool, st.booleans()),
    (bytes, st.binary(max_size=3)), (Word, st.sampled_from(Word)), (Level, st.sampled_from(Level)),
    (Colour, st.sampled_from(Colour)), (Literal["a", "b"], st.sampled_from(["a", "b"])),
    (set[int], st.sets(int64s, max_size=1)),
]  # fmt: skip


def listed(item: Typed) -> Typed:
    return GenericAlias(list, item[0]), st.lists(item[1], max_size=2)


def many(item: Typed) -> Typed:
    return GenericAlias(tuple, (item[0], ...)), st.lists(item[1], max_size=2).map(tuple)


def together(items: list[Typed]) -> Typed:
    kinds, values = zip(*items, strict=True)
    return GenericAlias(tuple, kinds), st.tuples(*values)


def named(item: Typed) -> Typed:
    return GenericAlias(dict, (str, item[0])), st.dictionaries(texts, item[1], max_size=2)


def numbered(item: Typed) -> Typed:
    return GenericAlias(dict, (int, item[0])), st.dictionaries(int64s, item[1], max_size=2)


def optional(item: Typed) -> Typed:
    return item[0] | None, st.none() | item[1]


def record(items: list[Typed], has_defaults: bool) -> Typed:
    fields: list[Any] = [(f"f{index}", kind) for index, (kind, _) in enumerate(items)]
    if has_defaults:
        fields.append(("last", int, dataclasses.field(default=3)))
    cls = dataclasses.make_dataclass(f"Record{next(numbers)}", fields)
    return cls, st.builds(cls, *(values for _, values in items))


def document(items: list[Typed], is_total: bool) -> Typed:
    wanted = {f"f{index}": kind for index, (kind, _) in enumerate(items)}
    hints = wanted | {"more": NotRequired[int]}
    made: Any = TypedDict
    cls = made(f"Document{next(numbers)}", hints, total=is_total)
    values = st.fixed_dictionaries(
        {f"f{index}": values for index, (_, values) in enumerate(items)}, optional={"more": int64s}
    )
    return cls, values.map(lambda given: {name: given[name] for name in hints if name in given})


def within(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    several = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        inner.map(listed), inner.map(many), several.map(together), inner.map(named),
        inner.map(numbered), inner.map(optional), st.builds(record, several, st.booleans()),
        st.builds(document, several, st.booleans()),
    )  # fmt: skip


types = st.recursive(st.sampled_from(leaves), within, max_leaves=6)


@settings(max_examples=150)
@given(types, st.data())
def test_any_value_of_any_type(typed: Typed, data: st.DataObject) -> None:
    annotation, values = typed
    form = plain(annotation)
    assert form is not None
    fast, slow = PlainCodec(annotation, form), ValueCodec(annotation)
    value = data.draw(values)
    encoded = slow.encode(value)
    assert form.encode(value) == fast.encode(value) == encoded
    assert repr(form.decode(encoded)) == repr(slow.decode(encoded))
    for strange in mutations(value):
        assert outcome(fast.encode, strange) == outcome(slow.encode, strange), strange
    for written in mutations(unpack(encoded)):
        try:
            payload = msgpack.packb(written)
        except (TypeError, ValueError, OverflowError):
            continue
        assert spelt(outcome(fast.decode, payload)) == spelt(outcome(slow.decode, payload)), written


def spelt(value: Any) -> str:
    """What items a document has is told, in whatever order."""
    if isinstance(value, dict):
        items: dict[Any, Any] = value
        return str(sorted((repr(key), spelt(each)) for key, each in items.items()))
    if isinstance(value, list | tuple):
        each: list[Any] = list(value)
        return str((type(value), [spelt(item) for item in each]))
    if dataclasses.is_dataclass(value):
        return str(
            (
                type(value),
                [(f.name, spelt(getattr(value, f.name))) for f in dataclasses.fields(value)],
            )
        )
    return repr(value)
