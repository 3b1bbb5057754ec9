"""What calls leave behind once they have ended: nothing."""

from machnet_rpc import Client, Server
from machnet_rpc._aio import stream_call


def nothing_left(client: Client | None = None, server: Server | None = None) -> bool:
    """Whether no call, stream, deadline, queued message, feed or handler is left."""
    pumps = [] if client is None else [client._keeper.pump]
    if server is not None:
        pumps.append(server._pump)
    for pump in pumps:
        if pump is None:
            continue
        if len(pump.deadlines) or any(port.outbox for port in pump._ports):
            return False
        for connection in pump.connections:
            streams = connection.streams
            if (
                connection.reply_metadata
                or connection.outgoing
                or connection.incoming
                or streams.outgoing
                or streams.incoming
            ):
                return False
    return not stream_call._feeds and (server is None or server.handlers_running == 0)
