"""Links of the memory network on their own, which keep to what channels of engines keep to."""

from machnet_rpc import MemoryNetwork
from machnet_rpc._protocol.records import REQUEST, pack
from machnet_rpc._transports.base import WRITABLE

RING_BYTES = 4096


async def test_who_closes_while_it_waits_for_room_harms_nobody() -> None:
    network = MemoryNetwork(RING_BYTES)
    reader, sender = network.attach(), network.attach()
    await reader.listen(7)
    await sender.connect("127.0.0.1:7", 1)
    (flow,) = sender.flows
    assert len(sender.receive()) == 1  # that it is open
    record = pack(REQUEST, flow, 1, bytes(1000))
    sent = 0
    while sender.send(record):
        sent += 1
    assert sender.arm(WRITABLE) > 0
    await sender.close()
    assert len(reader.receive()) == sent + 2  # and that the flow opened, and that it ended
    await reader.close()
