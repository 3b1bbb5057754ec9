"""A scenario for the simulator, as pydantic models: a topology, what is sent, and what goes wrong.

Units: times in microseconds of virtual time, sizes in bytes, rates in Gbit/s, shares from 0 to 1.
Knows shapes and ranges; transport_engine/simulator.py turns them into a network.
"""

from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

TIME_US_MAX: Final = 1e12
Time: TypeAlias = Annotated[float, Field(ge=0, le=TIME_US_MAX)]
Duration: TypeAlias = Annotated[float, Field(gt=0, le=TIME_US_MAX)]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Rate: TypeAlias = Annotated[float, Field(ge=0, le=800)]
Bytes: TypeAlias = Annotated[int, Field(ge=0, le=1 << 40)]
MessageBytes: TypeAlias = Annotated[int, Field(ge=8, le=16 << 20)]
Count: TypeAlias = Annotated[int, Field(ge=0, le=1 << 48)]
Node: TypeAlias = Annotated[int, Field(ge=0, le=65535)]
Lane: TypeAlias = Annotated[int, Field(ge=0, le=15)]
Priority: TypeAlias = Annotated[int, Field(ge=0, le=7)]


class Strict(BaseModel):
    """Every key is known, and every value in its range."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False
    )


class Bursts(Strict):
    """Losses in bursts: a Gilbert-Elliott channel that changes its state packet by packet."""

    enter: Share = Field(description="Chance that a packet turns a good channel bad.")
    leave: Share = Field(description="Chance that a packet turns a bad channel good.")
    loss: Share = Field(
        default=1.0, description="Chance that a packet is lost while the channel is bad."
    )
    packets_max: Annotated[int, Field(ge=0, le=1 << 20)] = Field(
        default=0, description="A burst ends after so many packets; 0: no limit."
    )


class Link(Strict):
    """One direction of a wire, with the queue in front of it."""

    rate_gbps: Rate = Field(default=10.0, description="Gbit/s of IP; 0: no limit.")
    delay_us: Time = Field(default=10.0, description="Propagation, microseconds.")
    jitter_us: Time = Field(default=0.0, description="Uniform extra delay that keeps the order.")
    queue_bytes: Bytes = Field(
        default=1 << 20, description="What may wait; more is dropped at the tail."
    )
    ecn_bytes: Bytes = Field(
        default=0, description="Packets that find more queued are marked; 0: none."
    )
    police_gbps: Rate = Field(
        default=0.0, description="Packets above this rate are dropped; 0: none."
    )
    police_burst_bytes: Bytes = Field(
        default=65536, description="Burst that the policer lets through."
    )
    loss: Share = Field(default=0.0, description="Share of packets lost, each by itself.")
    bursts: Bursts | None = Field(default=None, description="Losses in bursts, on top.")
    loss_packets: tuple[Count, ...] = Field(
        default=(), description="Numbers of packets that are lost, counted from 0 on this link."
    )
    loss_mask: Annotated[int, Field(ge=0, lt=1 << 64)] = Field(
        default=0, description="Packet n is lost if bit n mod 64 is set."
    )
    duplicate: Share = Field(default=0.0, description="Share of packets that arrive twice.")
    reorder: Share = Field(default=0.0, description="Share of packets that are late and overtaken.")
    reorder_us: Time = Field(default=0.0, description="By how much they are late, at most.")
    corrupt: Share = Field(
        default=0.0, description="Share of packets with one to three flipped bits."
    )
    overhead_bytes: Annotated[int, Field(ge=0, le=1024)] = Field(
        default=28, description="Bytes below UDP's payload for each packet: IPv4 and UDP."
    )


class HostLink(Link):
    """The link that leaves a host: when its short queue is full the host waits."""

    queue_bytes: Bytes = Field(
        default=32768, description="What a host hands to its wire ahead of time."
    )


class Pair(Strict):
    """Two hosts, 0 and 1, and one link each way: links `forward` and `back`."""

    kind: Literal["pair"]
    forward: Link = Field(default=Link(), description="From host 0 to host 1.")
    back: Link | None = Field(
        default=None, description="From host 1 to host 0; as forward if absent."
    )


class Dumbbell(Strict):
    """Hosts at both sides of one bottleneck: links `forward`, `back`, and `up3`, `down3` of host 3.

    The left hosts come first.
    """

    kind: Literal["dumbbell"]
    left: Annotated[int, Field(ge=1, le=4096)] = Field(default=2, description="Hosts on the left.")
    right: Annotated[int, Field(ge=1, le=4096)] = Field(
        default=2, description="Hosts on the right."
    )
    edge: HostLink = Field(
        default=HostLink(rate_gbps=100, delay_us=1), description="Of every host."
    )
    bottleneck: Link = Field(default=Link(), description="From left to right.")
    back: Link | None = Field(
        default=None, description="From right to left; as bottleneck if absent."
    )
    left_delays_us: tuple[Time, ...] = Field(
        default=(), description="Extra delay of each left host's link, both ways; cycled."
    )


class Star(Strict):
    """Hosts around one switch: links `up3` to the switch and `down3` from it, of host 3."""

    kind: Literal["star"]
    hosts: Annotated[int, Field(ge=2, le=4096)] = Field(default=4, description="Hosts.")
    uplink: HostLink = Field(
        default=HostLink(delay_us=5), description="From each host to the switch."
    )
    downlink: Link = Field(default=Link(delay_us=5), description="From the switch to each host.")


class Host(Strict):
    """A machine that takes part."""

    pool_bytes: Annotated[int, Field(ge=1 << 16, le=1 << 36)] = Field(
        default=64 << 20, description="Memory for messages under way; a message may use a quarter."
    )
    stall_every_us: Time = Field(default=0.0, description="Mean time between stalls; 0: none.")
    stall_min_us: Time = Field(default=1000.0, description="Shortest stall.")
    stall_max_us: Time = Field(default=10000.0, description="Longest stall.")
    inbox_packets: Annotated[int, Field(ge=1, le=1 << 24)] = Field(
        default=4096, description="Arrivals that a stalled host keeps; more are dropped."
    )


class Transport(Strict):
    """How flows are configured, at both ends."""

    congestion: Annotated[str, Field(min_length=1, max_length=15)] = Field(
        default="swift", description="Congestion control by name."
    )
    profile: Literal["rack", "cloud"] = Field(
        default="rack", description="Bounds of timers and window."
    )
    mtu_bytes: Annotated[int, Field(ge=1280, le=9216)] = Field(default=1500, description="Of IP.")
    message_bytes_max: Annotated[int, Field(ge=1024, le=16 << 20)] = Field(
        default=8 << 20, description="Longest message."
    )
    credit_bytes: Annotated[int, Field(ge=1024, le=1 << 40)] = Field(
        default=16 << 20, description="That a peer may send before the application takes it."
    )
    keep_alive_us: Duration = Field(default=2e6, description="Silence after which a peer is asked.")
    dead_us: Duration = Field(default=6e6, description="Silence after which a peer counts as dead.")
    handshake_timeout_us: Duration = Field(default=5e6, description="For opening a flow.")
    reopen_us: Annotated[float, Field(ge=1, le=TIME_US_MAX)] = Field(
        default=10000.0, description="From the end of a flow until its client opens another."
    )
    retry: bool = Field(
        default=True, description="A listener has addresses proven by a token first."
    )
    first_number: Annotated[int, Field(ge=0, lt=1 << 62)] | None = Field(
        default=None, description="Number of the first packet each way; random if absent."
    )


class Traffic(Strict):
    """What all workloads have."""

    name: Annotated[str, Field(max_length=64)] = Field(default="", description="For the answer.")
    pairs: tuple[tuple[Node, Node], ...] = Field(
        default=(),
        description="Client and server of each flow; absent: what the topology suggests.",
    )
    open_us: Time = Field(default=0.0, description="When its flows are opened.")
    start_us: Time = Field(default=0.0, description="When it starts to send.")
    stop_us: Time | None = Field(default=None, description="When it stops, if not by itself.")
    stagger_us: Time = Field(default=0.0, description="Each further flow opens so much later.")
    transport: Transport | None = Field(default=None, description="For its flows only.")
    classes_bytes: tuple[MessageBytes, ...] = Field(
        default=(), description="Ascending sizes at which results are split."
    )


class Message(Strict):
    """One message of a list."""

    at_us: Time = Field(default=0.0, description="When the application sends it.")
    source: Node = Field(default=0, description="Host that sends it.")
    target: Node = Field(default=1, description="Host that it is for.")
    size_bytes: MessageBytes = Field(default=1000, description="Its bytes.")
    lane: Lane = Field(default=0, description="0: no order.")
    priority: Priority = Field(default=0, description="0 goes first.")


class Messages(Traffic):
    """A list of messages, each at its time."""

    kind: Literal["messages"]
    messages: Annotated[tuple[Message, ...], Field(min_length=1)]
    reply_bytes: MessageBytes | None = Field(
        default=None,
        description="Makes each that a client sends a call; absent `pairs`, it is the lower host.",
    )


class Calls(Traffic):
    """Calls in a closed loop: each flow keeps `window` of them under way."""

    kind: Literal["calls"]
    window: Annotated[int, Field(ge=1, le=1 << 20)] = Field(
        default=1, description="Under way at a time."
    )
    count: Count = Field(default=0, description="On each flow; 0: until the time is over.")
    request_bytes: MessageBytes = Field(default=1000, description="Of each request.")
    reply_bytes: MessageBytes = Field(default=1000, description="Of each reply.")
    lane: Lane = 0
    priority: Priority = 0


class Bulk(Traffic):
    """Messages without an answer in a closed loop."""

    kind: Literal["bulk"]
    window: Annotated[int, Field(ge=1, le=1 << 20)] = Field(
        default=4, description="Under way at a time."
    )
    count: Count = Field(default=0, description="On each flow; 0: until the time is over.")
    message_bytes: MessageBytes = Field(default=1 << 20, description="Of each message.")
    lane: Lane = 0
    priority: Priority = 0


class Poisson(Traffic):
    """Messages at random times, whatever became of those before."""

    kind: Literal["poisson"]
    load: Annotated[float, Field(ge=1e-6, le=2)] = Field(
        default=0.5, description="Share of the rate of each sending host's link, headers included."
    )
    sizes: Annotated[tuple[tuple[MessageBytes, Share], ...], Field(min_length=1)] = Field(
        default=((1000, 1.0),),
        description="Size and share of messages not longer, ascending up to 1; linear between.",
    )
    count: Count = Field(default=0, description="In all; 0: until time is over.")
    reply_bytes: MessageBytes | None = Field(
        default=None, description="Makes each a call, if given."
    )
    lane: Lane = 0
    priority: Priority = 0


class Incast(Traffic):
    """All clients send one message to their server at once; again when all have arrived."""

    kind: Literal["incast"]
    message_bytes: MessageBytes = Field(default=65536, description="Of each client.")
    rounds: Annotated[int, Field(ge=1, le=1 << 48)] = Field(default=1, description="How often.")
    gap_us: Time = Field(default=0.0, description="Between two rounds.")
    priority: Priority = 0


Workload: TypeAlias = Annotated[
    Messages | Calls | Bulk | Poisson | Incast, Field(discriminator="kind")
]
LinkName: TypeAlias = Annotated[
    str, Field(pattern=r"^(all|forward|back|up\d+|down\d+)$", description="A link, or all.")
]


class BlackOut(Strict):
    """A link loses everything for a while."""

    kind: Literal["blackout"]
    at_us: Time
    link: LinkName
    for_us: Duration


class RateChange(Strict):
    """A link gets another rate."""

    kind: Literal["rate"]
    at_us: Time
    link: LinkName
    rate_gbps: Rate


class DelayChange(Strict):
    """A link gets another delay."""

    kind: Literal["delay"]
    at_us: Time
    link: LinkName
    delay_us: Time


class LossChange(Strict):
    """A link loses another share of packets."""

    kind: Literal["loss"]
    at_us: Time
    link: LinkName
    loss: Share


class Stall(Strict):
    """A host does nothing for a while; what arrives waits."""

    kind: Literal["stall"]
    at_us: Time
    node: Node
    for_us: Duration


class Crash(Strict):
    """A host loses all its state, and is up again after a while."""

    kind: Literal["crash"]
    at_us: Time
    node: Node
    for_us: Duration


Incident: TypeAlias = Annotated[
    BlackOut | RateChange | DelayChange | LossChange | Stall | Crash,
    Field(discriminator="kind"),
]


class Scenario(Strict):
    """A network, what is sent over it and what happens to it. Times are microseconds."""

    name: Annotated[str, Field(max_length=200)] = Field(default="", description="For the answer.")
    seed: Annotated[int, Field(ge=0, lt=1 << 64)] = Field(
        default=1, description="Of every random draw."
    )
    duration_us: Duration = Field(default=1e6, description="The workloads end at the latest then.")
    heal_us: Duration = Field(
        default=6e7, description="Within this all must drain, once all faults are gone."
    )
    measure_from_us: Time = Field(default=0.0, description="Start of what figures are taken from.")
    measure_to_us: Time | None = Field(
        default=None, description="Its end; absent: that of the work."
    )
    bin_us: Time = Field(default=0.0, description="Bins of each flow's goodput over time; 0: none.")
    topology: Annotated[Pair | Dumbbell | Star, Field(discriminator="kind")]
    host: Host = Field(default=Host(), description="All hosts but those in `hosts`.")
    hosts: dict[Annotated[str, Field(pattern=r"^(0|[1-9]\d*)$")], Host] = Field(
        default={}, description="Hosts by number."
    )
    transport: Transport = Field(
        default=Transport(), description="All flows but those with their own."
    )
    workloads: Annotated[tuple[Workload, ...], Field(min_length=1)]
    incidents: tuple[Incident, ...] = Field(default=(), description="What happens at which time.")


def schema() -> dict[str, Any]:
    """The JSON Schema of a scenario."""
    return Scenario.model_json_schema()
