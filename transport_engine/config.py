"""What an engine may be told, as pydantic models and as TOML, with a sentence for every mistake.

Defaults that are not written here are the engine's own (te_engine_config_init); so are the last
checks. Does not open anything.
"""

import os
import tomllib
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from transport_engine._native import ffi, lib
from transport_engine.endpoint import PORT_MAX, Endpoint, packed_address
from transport_engine.errors import ConfigError
from transport_engine.mistakes import Told, allowed, sentences
from transport_engine.ports import NAME, WORD, Ports

IPAddress: TypeAlias = IPv4Address | IPv6Address
Seconds: TypeAlias = Annotated[float, Field(ge=0.001, le=3600)]
Port: TypeAlias = Annotated[int, Field(ge=0, le=PORT_MAX)]
Fraction: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Identity: TypeAlias = Annotated[int, Field(ge=0, le=(1 << 32) - 2)]
Processor: TypeAlias = Annotated[int, Field(ge=0, le=4095)]
Name: TypeAlias = Annotated[str, Field(pattern=f"^{NAME}$")]
PortWord: TypeAlias = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if type(value) is int else value),
    Field(pattern=WORD, json_schema_extra={"format": "ports"}),
]


T = TypeVar("T")


def _power_of_two(value: int) -> int:
    if value & (value - 1):
        raise ValueError("it is no power of two")
    return value


def _without_zero_byte(value: T) -> T:
    if "\0" in str(value):
        raise ValueError("it has a zero byte, at which it would end for the system")
    return value


RingBytes: TypeAlias = Annotated[
    int,
    Field(ge=lib.TE_RING_BYTES_MIN, le=lib.TE_RING_BYTES_MAX),
    AfterValidator(_power_of_two),
    Field(json_schema_extra={"format": "ring"}),
]

MTU_BYTES_MAX: Final = 9216
FILE_BYTES_MAX: Final = 1 << 20
PROFILES: Final = {"rack": 0, "cloud": 1}
_TEXT: Final = Field(json_schema_extra={"format": "text"})
_PATH: Final = Field(json_schema_extra={"format": "path"})
_NS: Final = 1_000_000_000
_PPM: Final = 1_000_000
_RING_BYTES: Final = TypeAdapter(RingBytes)
_STRICT: Final = ConfigDict(extra="forbid", frozen=True)


class Limits(Told):
    """Bounds on what an engine holds; None: the engine's default."""

    model_config = _STRICT

    channels_max: Annotated[int, Field(ge=1, le=lib.TE_CHANNELS_MAX)] | None = None
    flows_max: Annotated[int, Field(ge=1, le=lib.TE_FLOWS_MAX)] | None = None
    flows_per_peer_max: Annotated[int, Field(ge=1, le=lib.TE_FLOWS_MAX)] | None = None
    message_bytes_max: Annotated[int, Field(ge=1024, le=lib.TE_MESSAGE_BYTES_MAX)] | None = None
    credit_bytes: Annotated[int, Field(ge=1024, le=(1 << 32) - 1)] | None = None
    pool_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 40)] | None = None
    handshake_timeout_seconds: Seconds | None = None
    keep_alive_seconds: Seconds | None = None
    dead_seconds: Seconds | None = None
    unfinished_seconds: Seconds | None = None
    spin_seconds: Annotated[float, Field(ge=0, le=3600)] | None = None


class Faults(Told):
    """What the engine does to datagrams that arrive, for tests: fractions from 0 to 1."""

    model_config = _STRICT

    loss: Fraction = 0.0
    duplicate: Fraction = 0.0
    corrupt: Fraction = 0.0
    reorder: Fraction = 0.0
    reorder_seconds: Annotated[float, Field(ge=0, le=10)] = 0.001
    seed: Annotated[int, Field(ge=0, le=(1 << 63) - 1)] = 1


class EngineConfig(Told):
    """All that an engine needs to open. Errors: ConfigError: key, value, what is allowed.

    `netif` is for the driver to read; with dpdk, EAL arguments separated by spaces.
    """

    model_config = _STRICT

    driver: Literal["udp", "dpdk", "loopback"] = "udp"
    netif: Annotated[str, AfterValidator(_without_zero_byte), _TEXT] = ""
    address: IPAddress = IPv4Address("127.0.0.1")
    port: Port = 0
    gateway: IPAddress | None = None
    prefix_bits: Annotated[int, Field(ge=0, le=128)] | None = None
    mtu_bytes: Annotated[int, Field(ge=1280, le=MTU_BYTES_MAX)] | None = None
    congestion: Literal["swift", "cubic", "fixed"] | None = None
    profile: Literal["rack", "cloud"] | None = None
    security: Literal["none"] | None = None
    limits: Limits = Limits()
    faults: Faults = Faults()

    @model_validator(mode="after")
    def _says_that_nothing_is_encrypted(self) -> Self:
        inside = self.driver == "loopback" or self.address.is_loopback
        if self.security is None and not inside:
            raise ValueError(
                f"address is {self.address}, which other machines can reach, and the wire is not "
                'encrypted yet: write security = "none" to accept that whoever sits on the '
                "path can read and forge calls, or use a loopback address"
            )
        return self

    def into_c(self, clock: Any = None) -> tuple[Any, list[Any]]:
        """A `struct te_engine_config`, and what it points to: strings, and the clock.

        Owner: keep both until the engine is closed.
        """
        config = ffi.new("struct te_engine_config *")
        lib.te_engine_config_init(config)
        strings = [ffi.new("char[]", self.driver.encode()), ffi.new("char[]", self.netif.encode())]
        config.driver, config.netif = strings
        if clock:
            strings.append(clock)
            config.clock_ns = clock
        if self.congestion is not None:
            strings.append(ffi.new("char[]", self.congestion.encode()))
            config.congestion = strings[-1]
        if self.profile is not None:
            config.profile = PROFILES[self.profile]
        if self.mtu_bytes is not None:
            config.mtu_bytes = self.mtu_bytes
        elif self.driver == "udp" and self.address.is_loopback:
            config.mtu_bytes = MTU_BYTES_MAX  # no other path is taken from there
        if self.prefix_bits is not None:
            config.prefix_bits = self.prefix_bits
        if self.gateway is not None:
            ffi.memmove(config.gateway, packed_address(self.gateway), lib.TE_ADDRESS_BYTES)
        Endpoint(self.address, self.port).into_c(config.local)
        _limits_into_c(self.limits, config)
        _faults_into_c(self.faults, config.fault)
        return config, strings


class SidecarEngineConfig(EngineConfig):
    """An engine that calls from the port that peers and firewalls know.

    `cores` are processors: one thread for each, with a queue of the netif of its own.
    """

    port: Port = lib.TE_PORT_DEFAULT
    cores: Annotated[tuple[Processor, ...], Field(max_length=lib.TE_CORES_MAX)] = ()

    @model_validator(mode="after")
    def _has_no_core_twice(self) -> Self:
        for core in self.cores:
            if self.cores.count(core) > 1:
                raise ValueError(f"cores has processor {core} twice; give each thread its own")
        return self


class ControlConfig(Told):
    """How a sidecar is reached, and how much anybody may ask of it."""

    model_config = _STRICT

    socket: Annotated[Path, AfterValidator(_without_zero_byte), _PATH] | None = None
    group: Identity | None = None
    connections_per_uid_max: Annotated[int, Field(ge=1, le=lib.TE_CHANNELS_MAX)] = 256
    ring_bytes_max: Annotated[int, Field(ge=lib.TE_RING_BYTES_MIN, le=lib.TE_RING_BYTES_MAX)] = (
        16 << 20
    )
    messages_per_second_max: Annotated[int, Field(ge=1, le=1_000_000)] = 2000
    drain_seconds: Annotated[float, Field(ge=0, le=60)] = 2.0
    direct: bool = True
    direct_ring_bytes: RingBytes = 1 << 20
    direct_ends_max: Annotated[int, Field(ge=1, le=65536)] = 1024


class Quotas(Told):
    """What a tenant may use at one time, over all its channels; None: no limit of its own.

    Without `memory_bytes` it has its weight's part of the engine's pool.
    """

    model_config = _STRICT

    channels: Annotated[int, Field(ge=1, le=lib.TE_CHANNELS_MAX)] | None = None
    flows: Annotated[int, Field(ge=1, le=lib.TE_FLOWS_MAX)] | None = None
    memory_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 40)] | None = None
    messages_per_second: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    bytes_per_second: Annotated[int, Field(ge=1000, le=1 << 40)] | None = None


class Reach(Told):
    """Peers: a network, and ports there."""

    model_config = _STRICT

    network: IPv4Network | IPv6Network
    ports: Annotated[tuple[PortWord, ...], Field(min_length=1)]


class TenantConfig(Told):
    """Who it is, by user and group, and what it may: nothing that is not said."""

    model_config = _STRICT

    name: Name
    uids: tuple[Identity, ...] = ()
    gids: tuple[Identity, ...] = ()
    listen: tuple[PortWord, ...] = ()
    reach: tuple[Reach, ...] = ()
    direct: bool = True
    weight: Annotated[int, Field(ge=1, le=lib.TE_WEIGHT_MAX)] = 1
    quotas: Quotas = Quotas()


class ProcessConfig(Told):
    """What a sidecar's process may still do once it runs."""

    model_config = _STRICT

    sandbox: Literal["full", "none"] = "full"


class SidecarConfig(Told):
    """A sidecar's file: [engine], [control], [process], [services], and [[tenants]]."""

    model_config = _STRICT

    engine: SidecarEngineConfig = SidecarEngineConfig()
    control: ControlConfig = ControlConfig()
    process: ProcessConfig = ProcessConfig()
    services: dict[Name, PortWord] = Field(default_factory=dict)
    tenants: Annotated[tuple[TenantConfig, ...], Field(max_length=lib.TE_SHARES_MAX - 1)] = ()

    @property
    def service_ports(self) -> dict[str, Ports]:
        """The ports behind the names in [services]."""
        return {name: Ports.parse([word], {}) for name, word in self.services.items()}

    @model_validator(mode="after")
    def _names_nobody_twice_and_no_port_that_is_none(self) -> Self:
        for name, word in self.services.items():
            _parsed(f"services.{name}", [word], {})
        seen: dict[tuple[str, str | int], int] = {}
        for index, tenant in enumerate(self.tenants):
            here = f"tenants[{index}]"
            if not tenant.uids and not tenant.gids:
                raise ValueError(f"{here} names nobody; give it uids or gids")
            who: list[tuple[str, str | int]] = [("name", tenant.name)]
            who += [("uid", uid) for uid in tenant.uids]
            who += [("gid", gid) for gid in tenant.gids]
            for key, value in who:
                first = seen.setdefault((key, value), index)
                if first != index:
                    raise ValueError(f"{here} has the {key} {value}, as tenants[{first}] has")
            _parsed(f"{here}.listen", tenant.listen, self.service_ports)
            for number, peers in enumerate(tenant.reach):
                _parsed(f"{here}.reach[{number}].ports", peers.ports, self.service_ports)
        return self


def _parsed(where: str, words: Iterable[str], services: dict[str, Ports]) -> None:
    try:
        Ports.parse(words, services)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _limits_into_c(limits: Limits, config: Any) -> None:
    for name, value in limits:
        if value is None:
            continue
        if name.endswith("_seconds"):
            setattr(config, name.removesuffix("seconds") + "ns", round(value * _NS))
        else:
            setattr(config, name, value)


def _faults_into_c(faults: Faults, fault: Any) -> None:
    for name in ("loss", "duplicate", "corrupt", "reorder"):
        setattr(fault, f"{name}_ppm", round(getattr(faults, name) * _PPM))
    fault.reorder_ns = round(faults.reorder_seconds * _NS)
    fault.seed = faults.seed


def check_ring_bytes(ring_bytes: int) -> None:
    """Errors: ConfigError where no ring has so many."""
    try:
        _RING_BYTES.validate_python(ring_bytes, strict=True)
    except ValidationError:
        said = f"ring_bytes is {ring_bytes!r}; allowed is {allowed(_RING_BYTES.json_schema(), {})}"
        raise ConfigError(said) from None


def user_socket_path() -> Path:
    """Where a sidecar of this user listens, unless told otherwise."""
    if os.geteuid() == 0:
        return system_socket_path()
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    # Whoever binds there checks that the folder is its own; whoever connects, whom it meets.
    public = Path(f"/tmp/machnet-{os.geteuid()}")  # noqa: S108
    folder = Path(runtime, "machnet") if runtime else public
    return folder / "engine.sock"


def system_socket_path() -> Path:
    """Where root's sidecar listens."""
    return Path("/run/machnet/engine.sock")


def default_socket_path() -> Path:
    """$MRPC_SOCKET, else this user's."""
    chosen = os.environ.get("MRPC_SOCKET")
    return Path(chosen) if chosen else user_socket_path()


def load(path: Path) -> SidecarConfig:
    """Reads a sidecar's TOML file.

    Errors: ConfigError, one line for each mistake: file, key, value, what is allowed.
    """
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES_MAX + 1)
        if len(text) > FILE_BYTES_MAX:
            raise ConfigError(f"{path} is no configuration: it has more than 1 MiB")
        data = tomllib.loads(text.decode("utf-8-sig"))  # some editors mark their files
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # not TOMLDecodeError alone: too many digits
        raise ConfigError(f"{path} is not TOML: {error}") from error
    return parse(data, str(path))


def parse(data: dict[str, Any], source: str) -> SidecarConfig:
    """Checks what a TOML file said; `source` names it in errors.

    Errors: ConfigError.
    """
    try:
        return SidecarConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError(sentences(error, SidecarConfig, source)) from None
