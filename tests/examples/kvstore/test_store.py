"""The store against a plain dict, and its limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.kvstore.store import (
    ENTRY_BYTES,
    KeyInvalidError,
    Limits,
    Store,
    StoreFullError,
    ValueTooLargeError,
)

keys = st.binary(min_size=1, max_size=3)
requests = st.one_of(
    st.tuples(st.just("put"), keys, st.binary(max_size=8)),
    st.tuples(st.just("delete"), keys, st.none()),
    st.tuples(st.just("get"), keys, st.none()),
)


@given(st.lists(requests, max_size=50), keys, st.integers(1, 5))
def test_equals_a_dict(
    stream: list[tuple[str, bytes, bytes | None]], start: bytes, limit: int
) -> None:
    store, model = Store(), dict[bytes, bytes]()
    for name, key, value in stream:
        if value is not None:
            assert store.put(key, value) == (key not in model)
            model[key] = value
        elif name == "delete":
            assert store.delete(key) == (model.pop(key, None) is not None)
        else:
            assert store.get(key) == model.get(key)
    assert len(store) == len(model)
    assert store.size_bytes == sum(len(k) + len(v) + ENTRY_BYTES for k, v in model.items())
    assert store.get_many([start, *model]) == [model.get(start), *model.values()]
    items: list[tuple[bytes, bytes]] = []
    following: bytes | None = start
    while following is not None:
        page = store.scan(following, limit)
        assert len(page.items) <= limit
        items += page.items
        following = page.next_key
    assert items == sorted(item for item in model.items() if item[0] >= start)


def test_full_store_refuses_growth_only() -> None:
    store = Store(Limits(bytes_max=2 * (ENTRY_BYTES + 2)))
    store.put(b"a", b"1")
    store.put(b"b", b"2")
    with pytest.raises(StoreFullError, match=f"{2 * ENTRY_BYTES + 4} of {2 * ENTRY_BYTES + 4}"):
        store.put(b"c", b"")
    with pytest.raises(StoreFullError):
        store.put(b"a", b"11")
    assert not store.put(b"a", b"3")
    assert store.delete(b"b")
    assert store.put(b"c", b"4")
    assert (store.get(b"a"), store.get(b"b"), store.get(b"c")) == (b"3", None, b"4")


def test_limits_of_keys_values_and_pages() -> None:
    limits = Limits(key_bytes_max=4, value_bytes_max=10, page_items_max=3, page_bytes_max=25)
    store = Store(limits)
    for key in (b"", b"12345"):
        with pytest.raises(KeyInvalidError, match="1 to 4"):
            store.get(key)
        with pytest.raises(KeyInvalidError):
            store.put(key, b"")
        with pytest.raises(KeyInvalidError):
            store.delete(key)
    with pytest.raises(ValueTooLargeError, match="11 bytes; at most 10"):
        store.put(b"k", bytes(11))
    for key in (b"a", b"b", b"c", b"d"):
        store.put(key, bytes(10))
    page = store.scan(b"a", 3)  # 11 bytes an item: two fit
    assert [key for key, _ in page.items] == [b"a", b"b"]
    assert page.next_key == b"c"
    assert store.scan(b"e", 1).next_key is None
    assert store.get_many([b"a", b"b"]) == [bytes(10)] * 2
    with pytest.raises(ValueTooLargeError, match="30 bytes"):
        store.get_many([b"a", b"b", b"c"])
    with pytest.raises(ValueTooLargeError, match="4 keys"):
        store.get_many([b"a"] * 4)
    for limit in (0, 4):
        with pytest.raises(ValueTooLargeError, match=f"limit {limit}"):
            store.scan(b"a", limit)


def test_an_item_larger_than_a_page_is_still_reached() -> None:
    store = Store(Limits(page_bytes_max=5))
    store.put(b"a", bytes(10))
    store.put(b"b", bytes(10))
    page = store.scan(b"a", 10)
    assert (len(page.items), page.next_key) == (1, b"b")
