"""Who takes part in the echo comparison, in the order of the table."""

from benchmarks.contender import Contender
from benchmarks.rivals import Grpc, Streams
from benchmarks.rungs import Memory

CONTENDERS: dict[str, type[Contender]] = {
    "grpc.aio": Grpc,
    "uvloop streams": Streams,
    "memory": Memory,
}
