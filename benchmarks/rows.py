"""The rows of the table: what is claimed, what is measured for it, and where the bar lies."""

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.bars import Bar, Ref
from benchmarks.load import Load
from benchmarks.measures import Echo, Lossy, Measure, MsgGen, TwoCpus
from benchmarks.tasks import Task

LARGE_BYTES = 8 << 20
WINDOWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
SIZES = (64, 256, 1024, 4096, 16384, 65536)
LARGE_SIZES = (1 << 18, 1 << 20, 1 << 22, LARGE_BYTES)
LOST = (0.0, 0.001, 0.01)
IDLE_S = 10.0

UVLOOP, UNIX, GRPC = "uvloop protocol, TCP", "uvloop protocol, UNIX", "grpc.aio"
RING, DIRECT, ICE = "ring, spinning", "direct", "iceoryx2"
CPUS, VIRTIO = "two CPUs, in C", "engines, virtio, inline"
SWEPT = (DIRECT, UVLOOP, GRPC)  # what the plots over window and size show
WIRED = ("inline+udp", "inline+af_packet", UVLOOP, GRPC)
CONTENDED = ("direct, contended", "inline+udp, contended", "uvloop protocol, TCP, contended")


@dataclass(frozen=True, slots=True)
class Row:
    """A claim, and its bars; `word` is for --only."""

    word: str
    title: str
    bars: tuple[Bar, ...]
    also: tuple[str, ...] = ()  # measures that it shows in plots

    @property
    def measures(self) -> set[str]:
        """What must be measured for it."""
        return set(self.also).union(*(bar.measures for bar in self.bars))


def at(name: str, window: int, figure: str, size_bytes: int = 1024) -> Ref:
    """A figure of an echo on this machine."""
    return Ref(name, Load(window, size_bytes).key + figure)


def lossy_name(contender: str, lost: float) -> str:
    """Of the measure across a wire."""
    return f"{contender}, {lost:.1%} lost"


def _loads(*windows: int) -> tuple[Load, ...]:
    return tuple(Load(window) for window in windows)


def _sweep() -> tuple[Load, ...]:
    long = (1, 32, 256)
    swept = [Load(window, seconds=0.6 if window in long else 0.2) for window in WINDOWS]
    shown = [Load(32, seconds=0.6, open_share=0.5)]
    return (*swept, *shown)


def _sizes() -> tuple[Load, ...]:
    small = [Load(32, size, seconds=0.25, warmup_s=0.1) for size in SIZES]
    large = [Load(2, size, seconds=0.3, warmup_s=0.1) for size in LARGE_SIZES]
    return (*small, *large)


def _measures() -> Iterable[Measure]:
    one_two = _loads(1, 32)
    for name in SWEPT:
        yield Echo(name, name, Task(_sweep()))
        yield Echo(f"{name}, sizes", name, Task(_sizes()))
    for name in (RING, UNIX, ICE):
        yield Echo(name, name, Task(_loads(1, 32, 256)))
    for name in ("ring, blocking", "synchronous client"):
        yield Echo(name, name, Task(_loads(1)))
    for name in ("grpc.aio, protobuf", "direct, pydantic", "direct, msgspec"):
        yield Echo(name, name, Task(_loads(32)))
    for name in ("uvloop streams", "pyzmq asyncio", "memory", "inline+udp", "inline+virtio"):
        yield Echo(name, name, Task(one_two))
    for name in ("sidecar, polling", "sidecar, sleeping"):
        yield Echo(name, name, Task(one_two))
    for name in ("direct, streams", "grpc.aio, streams"):
        yield Echo(name, name, Task(_loads(1)))
    for name in CONTENDED:
        yield Echo(name, name, Task(one_two))
    yield Echo("memcpy", "memcpy", Task((Load(1, LARGE_BYTES, seconds=0.3),)))
    yield Echo("direct, one way", "direct, one way", Task((Load(2, LARGE_BYTES, seconds=0.6),)))
    for name in ("one connection", "10,000 connections"):
        yield Echo(name, name, Task(_loads(1)))
    yield Echo("idle", DIRECT, Task(_loads(1), idle_s=IDLE_S))
    yield Echo("idle, sockets", UNIX, Task(_loads(1), idle_s=IDLE_S))
    yield TwoCpus(CPUS, LARGE_BYTES, IDLE_S)
    yield Echo("openings", DIRECT, Task(openings=True))
    for name in WIRED:
        for lost in LOST:
            is_bar = lost == LOST[-1]
            load = Load(32, seconds=3.0 if is_bar else 1.5, warmup_s=0.3)
            rounds = 1 << 30 if is_bar else 2
            yield Lossy(lossy_name(name, lost), name, lost, Task((load,)), rounds)
    yield MsgGen("engine, loopback", "loopback")
    for netif in ("memif", "af_packet", "virtio"):
        yield MsgGen(f"engines, {netif}", netif)
    yield MsgGen(VIRTIO, "virtio", ("--inline",))
    yield MsgGen("engines, virtio, 1 queue, 1 CPU", "virtio", ("--queues", "1"))
    yield MsgGen("engines, virtio, 2 queues, 2 CPUs", "virtio", ("--queues", "2"))


MEASURES: dict[str, Measure] = {measure.name: measure for measure in _measures()}


def _items() -> Iterable[Bar]:
    for way in ("given", "taken"):
        figure = f"{way}_items_per_s"
        ours, theirs = Ref("direct, streams", figure), Ref("grpc.aio, streams", figure)
        yield Bar(f"direct, items {way}", ours, None, theirs, is_least=True, way=DIRECT)


def _contended() -> Iterable[Bar]:
    *ours, theirs = CONTENDED
    for name in ours:
        p50 = at(name, 1, "p50_us"), None, at(theirs, 1, "p50_us")
        yield Bar(f"{name}, p50", *p50)
        for window in (1, 32):
            rate, other = (at(each, window, "calls_per_s") for each in (name, theirs))
            yield Bar(f"{name}, {window} in flight", rate, None, other, is_least=True)


def _direct_rates(window: int) -> Iterable[Bar]:
    rate = at(DIRECT, window, "calls_per_s")
    limits = {RING: 0.7, UVLOOP: 2.2, UNIX: 1.4, GRPC: 60.0, ICE: 2.0}
    for name, limit in limits.items():
        other = at(name, window, "calls_per_s")
        yield Bar(f"direct, {window} in flight", rate, limit, other, is_least=True, way=DIRECT)


def _loss(contender: str) -> Iterable[Bar]:
    for figure, percentile in (("p99_us", "p99"), ("p999_us", "p99.9")):
        for rival in (GRPC, UVLOOP):
            ours, theirs = (
                at(lossy_name(name, LOST[-1]), 32, figure) for name in (contender, rival)
            )
            yield Bar(f"{contender}, 1 % lost, {percentile}", ours, 0.2, theirs)


def _lossless() -> Iterable[Bar]:
    for name in ("inline+udp", UVLOOP):
        p99_us = at(lossy_name(name, LOST[0]), 32, "p99_us")
        yield Bar(f"{name}, nothing lost, p99", p99_us, None)


def _engines(name: str, p50_us: float, rate: float, rate_32: float) -> Iterable[Bar]:
    yield Bar(f"{name}, 1 in flight, p50", Ref(name, Load(1).key + "p50_us"), p50_us)
    if rate:
        yield Bar(
            f"{name}, 1 in flight", Ref(name, Load(1).key + "calls_per_s"), rate, is_least=True
        )
    yield Bar(
        f"{name}, 32 in flight", Ref(name, Load(32).key + "calls_per_s"), rate_32, is_least=True
    )


def _sidecar(mode: str) -> Iterable[Bar]:
    name = f"sidecar, {mode}"
    yield Bar(f"{name}, p50", at(name, 1, "p50_us"), 1.0, at(UVLOOP, 1, "p50_us"))
    rate, other = at(name, 32, "calls_per_s"), at(UVLOOP, 32, "calls_per_s")
    yield Bar(f"{name}, 32 in flight", rate, 1.5, other, is_least=True)


_P50 = at(DIRECT, 1, "p50_us")
ROWS = (
    Row(
        "direct",
        "direct rung, 1 in flight",
        (
            Bar("direct, p50", _P50, 1.6, at(RING, 1, "p50_us"), way=DIRECT),
            Bar("direct, p99", at(DIRECT, 1, "p99_us"), 2.5, _P50, way=DIRECT),
            Bar("direct, p50", _P50, 0.25, at(UVLOOP, 1, "p50_us"), way=DIRECT),
            Bar("direct, p50", _P50, 0.4, at(ICE, 1, "p50_us"), way=DIRECT),
        ),
    ),
    Row("rate", "direct rung, 32 and 256 in flight", (*_direct_rates(32), *_direct_rates(256))),
    Row(
        "sync",
        "synchronous client",
        (
            Bar(
                "synchronous client, p50",
                at("synchronous client", 1, "p50_us"),
                1.6,
                at("ring, blocking", 1, "p50_us"),
            ),
        ),
    ),
    Row(
        "models",
        "a model of six fields both ways, 32 in flight",
        (
            Bar(
                "direct, pydantic",
                at("direct, pydantic", 32, "calls_per_s"),
                15.0,
                at("grpc.aio, protobuf", 32, "calls_per_s"),
                is_least=True,
                way=DIRECT,
            ),
            Bar(
                "direct, msgspec",
                at("direct, msgspec", 32, "calls_per_s"),
                2.0,
                at("direct, pydantic", 32, "calls_per_s"),
                is_least=True,
                way=DIRECT,
            ),
        ),
    ),
    Row(
        "streams", "a stream's items of 1 KiB, from the server and from the client", tuple(_items())
    ),
    Row("contended", "a process that is busy on each processor", tuple(_contended())),
    Row("sidecar", "sidecar rung, three processes", (*_sidecar("polling"), *_sidecar("sleeping"))),
    Row(
        "inline",
        "two inline engines",
        (
            Bar("inline+virtio, p50", at("inline+virtio", 1, "p50_us"), 1.5, _P50),
            Bar(
                "inline+virtio, p50",
                at("inline+virtio", 1, "p50_us"),
                None,
                at(VIRTIO, 1, "p50_us"),
            ),
            Bar("inline+udp, p50", at("inline+udp", 1, "p50_us"), 1.1, at(UVLOOP, 1, "p50_us")),
        ),
        ("memory", "uvloop streams", "pyzmq asyncio"),
    ),
    Row(
        "loss",
        "1 % of packets lost, 32 in flight on one connection",
        (*_loss("inline+udp"), *_loss("inline+af_packet"), *_lossless()),
        tuple(lossy_name(name, lost) for name in WIRED for lost in LOST),
    ),
    Row("engine", "C to C, one engine", tuple(_engines("engine, loopback", 2.5, 0, 1e6))),
    Row("memif", "two engines, memif", tuple(_engines("engines, memif", 10, 90e3, 600e3))),
    Row("packet", "two engines, veth", tuple(_engines("engines, af_packet", 15, 65e3, 200e3))),
    Row(
        "virtio",
        "two engines, virtio pair; inline: no other process",
        (
            *_engines(VIRTIO, 6, 0, 1e6),
            *_engines("engines, virtio", 6, 0, 1e6),
        ),
    ),
    Row(
        "openings",
        "attach, listen, connect",
        (
            Bar("attach", Ref("openings", "attach_ms"), 5.0),
            Bar("listen", Ref("openings", "listen_ms"), 5.0),
            Bar("connect and a first call", Ref("openings", "connect_ms"), 5.0),
        ),
    ),
    Row(
        "queues",
        "2 queues on 2 threads against 1; both ends of a queue on one CPU",
        (
            Bar(
                "engines, virtio, 2 queues, 2 CPUs",
                Ref("engines, virtio, 2 queues, 2 CPUs", Load(32).key + "calls_per_s"),
                1.8,
                Ref("engines, virtio, 1 queue, 1 CPU", Load(32).key + "calls_per_s"),
                is_least=True,
            ),
        ),
    ),
    Row(
        "large",
        "8 MiB messages, direct rung",
        (
            Bar(
                "direct, 8 MiB one way",
                at("direct, one way", 2, "gb_per_s", LARGE_BYTES),
                0.5,
                at("memcpy", 1, "gb_per_s", LARGE_BYTES),
                is_least=True,
                way=DIRECT,
            ),
            Bar(
                "direct, 8 MiB one way; beside: into a ring, out of it",
                at("direct, one way", 2, "gb_per_s", LARGE_BYTES),
                None,
                Ref(CPUS, "gb_per_s"),
            ),
        ),
    ),
    Row(
        "many",
        "10,000 connections, 1 % active",
        (
            Bar(
                "p50",
                at("10,000 connections", 1, "p50_us"),
                1.2,
                at("one connection", 1, "p50_us"),
            ),
            Bar(
                "memory of both ends for each connection",
                Ref("10,000 connections", "kib_per_connection"),
                None,
            ),
        ),
    ),
    Row(
        "idle",
        "idle for 10 s",
        (
            Bar("of a core, engine and applications", Ref("idle", "idle_percent"), 1.0),
            Bar("first call, over the hot p50", Ref("idle", "first_call_over_hot_us"), 150.0),
            Bar("first call, uvloop over UNIX", Ref("idle, sockets", "first_call_us"), None),
            Bar("first byte to a thread that sleeps, in C", Ref(CPUS, "wake_us"), None),
        ),
    ),
    Row(
        "growth",
        "no cliff as work grows: least share of the best so far",
        (
            Bar("calls/s, 1 to 1,024 in flight", Ref(DIRECT, "windows_kept"), 0.8, is_least=True),
            Bar("bytes/s, 64 B to 64 KiB", Ref("direct, sizes", "sizes_kept"), 0.8, is_least=True),
        ),
        (*SWEPT, *(f"{name}, sizes" for name in SWEPT)),
    ),
)
