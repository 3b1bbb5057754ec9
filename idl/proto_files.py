"""What protobuf's own compiler makes of .proto files: descriptors, and what of them is wanted.

Wanted are all types of the files that are named, and those of imported files that they lead to:
an import for the sake of options brings nothing.
Source: google/protobuf/descriptor.proto.
"""

import importlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from idl.proto import ProtoError


class ProtoFiles:
    """The files, in an order in which each comes after those that it imports.

    Errors: ProtoError, also if protobuf's compiler is not there.
    """

    def __init__(
        self, files: Sequence[Path], include: Sequence[Path], well_known: frozenset[str]
    ) -> None:
        compiled = _compiled(files, include)
        self.files: list[Any] = list(compiled.file)
        self.named: list[Any] = [file for file in self.files if _is_one_of(file.name, files)]
        self._pool = _pool(self.files)
        self._well_known = well_known
        self._types = {full: each for file in self.files for full, each in types_of(file)}
        self.wanted: set[str] = set()
        for file in self.named:
            for full, _ in types_of(file):
                self._want(full)
            for method in (each for service in file.service for each in service.method):
                self._want(method.input_type)
                self._want(method.output_type)
        for file in self.files:
            self._refuse_extensions(file, file.extension)

    def field(self, message: str, name: str) -> Any:
        """The field as protobuf understands it: whether it must be there, its default.

        The features of an edition are resolved in it.
        """
        return self._pool.FindMessageTypeByName(message.lstrip(".")).fields_by_name[name]

    def _want(self, full: str) -> None:
        waiting = [full]
        while waiting:
            full = waiting.pop()
            if full in self.wanted or full in self._well_known:
                continue
            self.wanted.add(full)
            fields = getattr(self._types[full], "field", ())
            waiting += [each.type_name for each in fields if each.type_name]

    def _refuse_extensions(self, inner: Any, extensions: Sequence[Any]) -> None:
        for each in extensions:
            is_option = each.extendee.startswith(".google.protobuf.")
            if each.extendee in self.wanted and not is_option:
                raise ProtoError(
                    f"{each.name} extends {each.extendee.lstrip('.')}: extensions have no "
                    "counterpart in a contract; declare it as a field of the message"
                )
        for message in inner.message_type if hasattr(inner, "package") else inner.nested_type:
            self._refuse_extensions(message, message.extension)


def types_of(file: Any) -> Iterator[tuple[str, Any]]:
    """Each message and enumeration by its full name, ".package.Outer.Inner"."""
    prefix = f".{file.package}" if file.package else ""
    for enum in file.enum_type:
        yield f"{prefix}.{enum.name}", enum
    waiting = [(prefix, message) for message in file.message_type]
    while waiting:
        outer, message = waiting.pop()
        full = f"{outer}.{message.name}"
        yield full, message
        waiting += [(full, inner) for inner in message.nested_type]
        for enum in message.enum_type:
            yield f"{full}.{enum.name}", enum


def comments_of(file: Any) -> dict[tuple[int, ...], str]:
    """What stands before each declaration, by its path in the descriptor."""
    return {
        tuple(location.path): location.leading_comments
        for location in file.source_code_info.location
        if location.leading_comments
    }


def _compiled(files: Sequence[Path], include: Sequence[Path]) -> Any:
    try:
        protoc: Any = importlib.import_module("grpc_tools.protoc")
        descriptor: Any = importlib.import_module("google.protobuf.descriptor_pb2")
    except ImportError as error:
        raise ProtoError(
            "protobuf's compiler is not installed: pip install 'machnet-rpc[proto]'"
        ) from error
    known = Path(str(protoc.__file__)).parent / "_proto"
    folders = [*include, *dict.fromkeys(file.parent for file in files), known]
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "set"
        argv = ["protoc", "--include_imports", "--include_source_info"]
        argv += [f"--descriptor_set_out={target}", *(f"-I{folder}" for folder in folders)]
        argv += [f"./{file}" if str(file).startswith("-") else str(file) for file in files]
        if protoc.main(argv) != 0:  # it has printed why
            raise ProtoError(f"{', '.join(map(str, files))} cannot be compiled")
        compiled = descriptor.FileDescriptorSet()
        compiled.ParseFromString(target.read_bytes())
    return compiled


def _pool(files: Sequence[Any]) -> Any:
    pools: Any = importlib.import_module("google.protobuf.descriptor_pool")
    pool = pools.DescriptorPool()
    for file in files:
        try:
            pool.Add(file)
        except TypeError as error:  # the compiler only warns of some of what this refuses
            raise ProtoError(f"{file.name}: {error}") from error
    return pool


def _is_one_of(name: str, files: Sequence[Path]) -> bool:
    """The compiler names a file from the folder in which it was found."""
    return any(f"/{file.absolute().as_posix()}".endswith(f"/{name}") for file in files)
