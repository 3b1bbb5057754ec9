"""Endpoints as text and as C structs."""

import pytest

from transport_engine._native import ffi
from transport_engine.endpoint import Endpoint


@pytest.mark.parametrize(
    "text", ["10.0.0.2:7000", "127.0.0.1:0", "[::1]:65535", "[fe80::1:2]:80", "0.0.0.0:1"]
)
def test_text_and_c_round_trip(text: str) -> None:
    endpoint = Endpoint.parse(text)
    assert str(endpoint) == text
    c = ffi.new("struct te_endpoint *")
    endpoint.into_c(c)
    assert Endpoint.from_c(c) == endpoint


def test_ipv4_is_mapped_in_c() -> None:
    c = ffi.new("struct te_endpoint *")
    Endpoint.parse("10.0.0.2:7000").into_c(c)
    assert bytes(c.address) == bytes(10) + b"\xff\xff\x0a\x00\x00\x02"
    assert c.port == 7000


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "7000",
        "10.0.0.2",
        "10.0.0.2:",
        "10.0.0.2:65536",
        "10.0.0.2:-1",
        "10.0.0.2:7 ",
        "10.0.0.2:٣",
        "::1:7000",
        "[10.0.0.2]:7000",
        "[::1]",
        "[::1:7000",
        "host:7000",
    ],
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"endpoint|port|address"):
        Endpoint.parse(text)


def test_port_is_checked() -> None:
    local = Endpoint.parse("127.0.0.1:1")
    with pytest.raises(ValueError, match="65536"):
        Endpoint(local.address, 65536)
