"""Who takes part in the echo comparison, in the order of the table."""

from benchmarks.contender import Contender
from benchmarks.rivals import Grpc, Streams
from benchmarks.rungs import Inline, Memory, SidecarsDpdk, SidecarsUdp

CONTENDERS: dict[str, type[Contender]] = {
    "grpc.aio": Grpc,
    "uvloop streams": Streams,
    "memory": Memory,
    "inline+udp": Inline,
    "sidecar+udp": SidecarsUdp,
    "sidecar+dpdk": SidecarsDpdk,
}
