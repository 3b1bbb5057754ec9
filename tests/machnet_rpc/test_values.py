"""A few values of every supported type, there and back; `values.py` sends many."""

from machnet_rpc._transports.ladder import Via
from tests.idl.values import TYPES
from tests.machnet_rpc.conftest import only_inline
from tests.machnet_rpc.values import mirrored

EXAMPLES = 5


@only_inline
async def test_values_come_back_equal(via: Via) -> None:
    assert await mirrored(via, EXAMPLES, number=1) >= len(TYPES)
