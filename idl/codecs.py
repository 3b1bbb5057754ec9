"""Arguments and results as bytes: a codec is compiled once for each method.

A lone argument is its value, several are a map by name, a missing one takes its default and an
unknown one is ignored.
"""

from collections.abc import Callable
from typing import Any

from idl.buffers import RawCodec, is_raw
from idl.packing import CodecError, pack, unpack
from idl.plain import UNREAD, Plain, plain_arguments
from idl.raised import shown
from idl.schema import MethodSchema
from idl.value_codecs import NothingCodec, ValueCodec, compiled, value_codec


class ResultCodec:
    """What a method returns."""

    __slots__ = ("decode", "encode", "is_raw")

    def __init__(self, schema: MethodSchema) -> None:
        self.is_raw: bool = is_raw(schema.result)
        codec = compiled(schema.result, f"{schema.name}: the result")
        self.encode: Callable[[object], bytes | memoryview] = codec.encode
        self.decode: Callable[[bytes], Any] = codec.decode


class ArgumentsCodec:
    """What a method takes: from (args, kwargs) to bytes, and back to what the handler is given."""

    __slots__ = ("_by_name", "_lone", "_lone_name", "_names", "_plain", "_schema", "is_raw")

    def __init__(self, schema: MethodSchema) -> None:
        self._schema = schema
        self._lone: ValueCodec | RawCodec | NothingCodec | None = None
        self._lone_name = ""
        self._by_name: list[tuple[str, ValueCodec, bool]] = []  # and whether it is required
        self._plain: Plain | None = None
        self._names = [parameter.name for parameter in schema.parameters]
        self.is_raw: bool = False
        if len(schema.parameters) == 1:
            (parameter,) = schema.parameters
            self.is_raw = is_raw(parameter.annotation)
            self._lone = compiled(parameter.annotation, f"{schema.name}: {parameter.name}")
            self._lone_name = parameter.name
            return
        for parameter in schema.parameters:
            codec = value_codec(parameter.annotation, f"{schema.name}: {parameter.name}")
            self._by_name.append((parameter.name, codec, parameter.required))
        if schema.parameters:
            self._plain = plain_arguments(schema.parameters)

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes | memoryview:
        """Errors: CodecError for a wrong value, TypeError as a function raises it."""
        if self._lone is not None and len(args) == 1 and not kwargs:
            try:
                return self._lone.encode(args[0])
            except CodecError as error:
                raise CodecError(f"{self._lone_name}: {error}") from error
        if kwargs or len(args) != len(self._names):
            given = self._bound(args, kwargs)
        else:
            given = dict(zip(self._names, args, strict=True))
        if self._lone is not None:
            (parameter,) = self._schema.parameters
            return self.encode((given.get(parameter.name, parameter.default),), {})
        if not given:
            return b""
        if self._plain is not None and (packed := self._plain.encode(given)) is not None:
            return packed
        plain: dict[str, object] = {}
        for name, codec, _ in self._by_name:
            if name in given:
                try:
                    plain[name] = codec.dump(given[name])
                except CodecError as error:
                    raise CodecError(f"{name}: {error}") from error
        try:
            return pack(plain)
        except CodecError as error:
            raise self._unsendable(plain) or error from None

    def _unsendable(self, plain: dict[str, object]) -> CodecError | None:
        """The same, said of the argument that it is about."""
        for name, value in plain.items():
            try:
                pack(value)
            except CodecError as error:
                return CodecError(f"{name}: {error}")
        return None

    def decode(self, payload: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Errors: CodecError."""
        if self._lone is not None:
            if not payload and not self.is_raw and not isinstance(self._lone, NothingCodec):
                if self._schema.parameters[0].required:
                    raise CodecError(f"argument {self._lone_name} is missing")
                return (), {}
            try:
                return (self._lone.decode(payload),), {}
            except CodecError as error:
                raise CodecError(f"{self._lone_name}: {error}") from error
        if not self._by_name:
            return (), {}
        if self._plain is None:
            return (), self._loaded(payload)
        try:
            return (), self._plain.decode(payload)
        except UNREAD:  # it may be right all the same, or is told what is wrong
            return (), self._loaded(payload)

    def _loaded(self, payload: bytes) -> dict[str, Any]:
        plain: Any = unpack(payload) if payload else {}
        if not isinstance(plain, dict):
            raise CodecError(f"the arguments must be a map by name, not {shown(plain)}")
        by_name: dict[Any, Any] = plain
        arguments: dict[str, Any] = {}
        for name, codec, is_required in self._by_name:
            if name in by_name:
                try:
                    arguments[name] = codec.load(by_name[name])
                except CodecError as error:
                    raise CodecError(f"{name}: {error}") from error
            elif is_required:
                raise CodecError(f"argument {name} is missing")
        return arguments

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        names, name = self._names, self._schema.name
        if len(args) > len(names):
            raise TypeError(f"{name} takes {len(names)} arguments, not {len(args)}")
        given = dict(zip(names, args, strict=False))
        for key, value in kwargs.items():
            if key not in names:
                raise TypeError(f"{name} has no argument {key!r}")
            if key in given:
                raise TypeError(f"{name} got {key!r} twice")
            given[key] = value
        for parameter in self._schema.parameters:
            if parameter.required and parameter.name not in given:
                raise TypeError(f"{name} needs its argument {parameter.name!r}")
        return {name: given[name] for name in names if name in given}  # alike, however called
