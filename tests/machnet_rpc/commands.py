"""Commands of `mrpc` in this process, against servers in memory."""

from machnet_rpc import MemoryNetwork
from machnet_rpc import cli as mrpc


async def run(network: MemoryNetwork, *argv: str) -> int:
    """The exit status."""
    arguments = mrpc._parser().parse_args(argv)
    arguments.engine = network
    status: int = await arguments.run(arguments)
    return status
