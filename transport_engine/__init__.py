"""The transport engine: reliable messages between machines, past the kernel where that can be.

An application attaches to a sidecar's engine (`attach`) or opens one in its own process
(`open_inline`), and gets a channel: records in, records out. Knows nothing of calls.
"""

from transport_engine import unloadable

unloadable.load()

from transport_engine.attach import Attachment, SidecarAttachment, attach, read_flows, read_stats
from transport_engine.channel import Channel
from transport_engine.config import EngineConfig, Faults, Limits, SidecarConfig
from transport_engine.config import default_socket_path as default_socket_path
from transport_engine.endpoint import Endpoint
from transport_engine.engine import Engine
from transport_engine.errors import (
    ChannelCorruptError,
    ConfigError,
    EngineGoneError,
    ForbiddenError,
    NoEngineError,
    NoRoomError,
    PortInUseError,
    QuotaError,
    TransportError,
)
from transport_engine.flows import FlowReport
from transport_engine.inline import InlineAttachment, open_inline
from transport_engine.stats import Stats

__all__ = [
    "Attachment",
    "Channel",
    "ChannelCorruptError",
    "ConfigError",
    "Endpoint",
    "Engine",
    "EngineConfig",
    "EngineGoneError",
    "Faults",
    "FlowReport",
    "ForbiddenError",
    "InlineAttachment",
    "Limits",
    "NoEngineError",
    "NoRoomError",
    "PortInUseError",
    "QuotaError",
    "SidecarAttachment",
    "SidecarConfig",
    "Stats",
    "TransportError",
    "attach",
    "default_socket_path",
    "open_inline",
    "read_flows",
    "read_stats",
]
