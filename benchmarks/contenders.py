"""Who takes part in the comparison, by the name that tables use."""

from benchmarks.contended import DirectContended, InlineContended, TcpContended
from benchmarks.contender import Contender
from benchmarks.floors import Memcpy, RingSpin, RingSync
from benchmarks.many import ManyConnections, OneConnection
from benchmarks.rivals_grpc import Grpc, GrpcProtobuf
from benchmarks.rivals_iceoryx import Iceoryx
from benchmarks.rivals_sockets import ProtocolTcp, ProtocolUnix, Streams, ZeroMq
from benchmarks.rungs import (
    Inline,
    InlineAfPacket,
    InlineDpdk,
    Memory,
    Msgspec,
    OneWay,
    Pydantic,
    SharedSidecar,
    SidecarPolling,
    SidecarsDpdk,
    SidecarSleeping,
    SidecarsUdp,
)
from benchmarks.streams import DirectStreams, GrpcStreams
from benchmarks.synchronous import Synchronous

CONTENDERS: dict[str, type[Contender]] = {
    "grpc.aio": Grpc,
    "grpc.aio, protobuf": GrpcProtobuf,
    "grpc.aio, streams": GrpcStreams,
    "uvloop protocol, TCP": ProtocolTcp,
    "uvloop protocol, UNIX": ProtocolUnix,
    "uvloop protocol, TCP, contended": TcpContended,
    "uvloop streams": Streams,
    "pyzmq asyncio": ZeroMq,
    "iceoryx2": Iceoryx,
    "ring, spinning": RingSpin,
    "ring, blocking": RingSync,
    "memcpy": Memcpy,
    "direct": SharedSidecar,
    "direct, pydantic": Pydantic,
    "direct, msgspec": Msgspec,
    "direct, contended": DirectContended,
    "direct, one way": OneWay,
    "direct, streams": DirectStreams,
    "synchronous client": Synchronous,
    "sidecar, polling": SidecarPolling,
    "sidecar, sleeping": SidecarSleeping,
    "inline+udp": Inline,
    "inline+udp, contended": InlineContended,
    "inline+virtio": InlineDpdk,
    "inline+af_packet": InlineAfPacket,
    "memory": Memory,
    "two sidecars, udp": SidecarsUdp,
    "two sidecars, virtio": SidecarsDpdk,
    "10,000 connections": ManyConnections,
    "one connection": OneConnection,
}
