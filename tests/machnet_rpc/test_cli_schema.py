"""`mrpc schema`: what it prints, and its exit status."""

import json
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from machnet_rpc import cli as mrpc
from tests.idl.evolution import PRELUDE

Capture = pytest.CaptureFixture[str]
SHOP = (
    PRELUDE
    + """
from machnet_rpc import Server

@dataclass
class Item:
    name: str
    {field}

@service("shop")
class Shop:
    @rpc
    async def price(self, item: Item) -> int:
        raise NotImplementedError

class Market(Shop):
    @rpc
    async def price(self, item: Item) -> int:
        return 3

class Nothing:
    pass

server = Server(Market())
"""
)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of its own, and modules that do not outlive the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in ("shop", "greeter"):
        sys.modules.pop(name, None)


def write(field: str) -> None:
    """A version of shop.py; its length differs, or Python would take the bytecode of the last."""
    Path("shop.py").write_text(SHOP.format(field=field), encoding="utf-8")
    sys.modules.pop("shop", None)


def dump(capsys: Capture, target: str = "shop:Shop") -> str:
    assert mrpc.main(["schema", "dump", target]) == 0
    out = capsys.readouterr().out
    Path("api.lock").write_text(out, encoding="utf-8")
    return out


def test_a_service_of_functions_has_a_schema(capsys: Capture) -> None:
    Path("greeter.py").write_text(
        "from machnet_rpc import Service\n"
        'greeter = Service("greeter")\n'
        "@greeter.rpc\n"
        "async def greet(name: str) -> str:\n"
        "    return name\n",
        encoding="utf-8",
    )
    assert "greet" in dump(capsys, "greeter:greeter")
    assert mrpc.main(["schema", "check", "api.lock"]) == 0


def test_nothing_changed(capsys: Capture) -> None:
    write("size: int = 0")
    dump(capsys)
    assert mrpc.main(["schema", "check", "api.lock"]) == 0
    assert capsys.readouterr().out == "nothing changed\n"


@pytest.mark.parametrize(
    "target", ["shop:Shop", "shop:Market", "shop:Market.price.contract", "shop:server"]
)
def test_contracts_are_found_by_way_of_what_implements_them(capsys: Capture, target: str) -> None:
    """Of a server its own, not those that every server has."""
    write("size: int = 0")
    assert [each["name"] for each in json.loads(dump(capsys, target))["services"]] == ["shop"]


def test_what_is_risky_breaks_nothing(capsys: Capture) -> None:
    write("size: int = 0")
    dump(capsys)
    write("size: int = 0\n    colour: str = 'red'")
    assert mrpc.main(["schema", "check", "api.lock"]) == 0
    out = capsys.readouterr().out.splitlines()
    where = "risky: new clients of an old server: shop/price: item.colour: "
    assert out == [
        where + "an old server ignores it: it has no such field",
        "nothing breaks",
    ]


def test_what_breaks_says_whom_and_why(capsys: Capture) -> None:
    write("size: int = 0")
    dump(capsys)
    write("size: int | None = 0")
    for first, status in (("either", 1), ("servers", 0), ("clients", 1)):
        argv = ["schema", "check", "api.lock", "shop:Shop", "--first", first]
        assert mrpc.main(argv) == status
        told = "breaking: new clients of an old server: shop/price: item.size: "
        told += "a new client sends none, and an old server takes int"
        assert told.replace("none", "None") in capsys.readouterr().out
    assert mrpc.main(["schema", "check", "api.lock", "--json"]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert facts["breaks"] is True
    assert facts["findings"][0] == {
        "severity": "breaking",
        "who": "new clients",
        "where": "shop/price: item.size",
        "why": "a new client sends None, and an old server takes int",
    }


def test_the_gravest_changes_come_first(capsys: Capture) -> None:
    write("size: int = 0")
    dump(capsys)
    write("size: int | None = 0\n    colour: str = 'red'")
    text = Path("shop.py").read_text(encoding="utf-8").replace("@rpc\n", "@rpc(timeout=1)\n")
    Path("shop.py").write_text(text, encoding="utf-8")
    assert mrpc.main(["schema", "check", "api.lock"]) == 1
    *found, said = capsys.readouterr().out.splitlines()
    severities = [line.partition(":")[0] for line in found]
    assert severities == ["breaking", "risky", "compatible", "compatible"]
    assert said == "1 of 4 changes break"


def test_what_is_checked_is_what_is_named(capsys: Capture) -> None:
    write("size: int = 0")
    dump(capsys)
    assert mrpc.main(["schema", "check", "api.lock", "shop:Nothing"]) == 2
    assert "Nothing is no service" in capsys.readouterr().err


def test_a_proto_file_is_for_one_service(capsys: Capture) -> None:
    write("size: int = 0")
    with Path("shop.py").open("a", encoding="utf-8") as module:
        module.write('@service("other")\nclass Other(Shop):\n    pass\nboth = [Shop, Other]\n')
    assert mrpc.main(["schema", "export", "--to", "proto", "shop:both"]) == 2
    captured = capsys.readouterr()
    assert "shop:both has several services: a .proto file is for one" in captured.err
    assert not captured.out


def test_services_come_and_go(capsys: Capture) -> None:
    write("size: int = 0")
    dump(capsys)
    Path("shop.py").write_text(
        SHOP.format(field="size: int = 0").replace('"shop"', '"market"'), encoding="utf-8"
    )
    sys.modules.pop("shop", None)
    assert mrpc.main(["schema", "check", "api.lock"]) == 1
    out = capsys.readouterr().out
    assert "breaking: old clients of a new server: shop: the service was removed" in out
    assert "risky: new clients of an old server: market: the service is new" in out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["check", "no.lock"], "no.lock cannot be read: No such file"),
        (["check", "shop.py"], "shop.py is no lock file: it is no JSON"),
        (["dump", "shop:Nothing"], "Nothing is no service"),
        (["dump", "shop"], "write module:name"),
        (["dump", "shop:Gone"], "has no Gone"),
        (["import", "no.proto"], "there is no file no.proto"),
        (["export", "--to", "proto", "shop:Path"], "has no Path"),
    ],
)
def test_wrong_usage_gets_a_sentence(capsys: Capture, argv: list[str], words: str) -> None:
    write("size: int = 0")
    assert mrpc.main(["schema", *argv]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("command", ["dump", "export --to markdown"])
def test_what_cannot_be_served_has_no_schema(capsys: Capture, command: str) -> None:
    write("size: int = 0")
    with Path("shop.py").open("a", encoding="utf-8") as module:
        module.write('@service("odd")\nclass Odd:\n    @rpc\n')
        module.write("    async def odd(self, item: Nothing) -> None: ...\n")
    assert mrpc.main(["schema", *command.split(), "shop:Odd"]) == 2
    captured = capsys.readouterr()
    assert "odd/odd: item:" in captured.err
    assert not captured.out


def test_a_name_stands_for_one_service(capsys: Capture) -> None:
    """Of two, one would be compared, and changes of the other be passed over."""
    write("size: int = 0")
    with Path("shop.py").open("a", encoding="utf-8") as module:
        module.write('@service("shop", version=2)\nclass Later(Shop):\n    pass\n')
        module.write("both = [Shop, Later]\nalike = [Shop, Market]\n")
    for command in ("dump", "export --to markdown"):
        assert mrpc.main(["schema", *command.split(), "shop:both"]) == 2
        captured = capsys.readouterr()
        assert "shop:both has different services called shop: name one of them" in captured.err
        assert not captured.out
    lock = json.loads(dump(capsys, "shop:alike"))
    assert len(lock["services"]) == 1
    lock["services"] *= 2
    Path("api.lock").write_text(json.dumps(lock), encoding="utf-8")
    assert mrpc.main(["schema", "check", "api.lock"]) == 2
    assert "api.lock is no lock file: it has 2 services called shop" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("proto", "rpc Price(Item) returns (PriceResponse);"),
        ("jsonschema", '"$schema": "https://json-schema.org/draft/2020-12/schema"'),
        ("markdown", "`price(item: Item) -> int`"),
    ],
)
def test_export(capsys: Capture, language: str, words: str) -> None:
    write("size: int = 0")
    assert mrpc.main(["schema", "export", "--to", language, "shop:Market"]) == 0
    assert words in capsys.readouterr().out


def test_export_as_json_is_one_value(capsys: Capture) -> None:
    write("size: int = 0")
    for language, kind in (("proto", str), ("markdown", str), ("jsonschema", dict)):
        argv = ["schema", "export", "--to", language, "shop:Market", "--json"]
        assert mrpc.main(argv) == 0
        assert isinstance(json.loads(capsys.readouterr().out), kind)


def test_import(capsys: Capture) -> None:
    pytest.importorskip("grpc_tools")
    write("size: int = 0")
    mrpc.main(["schema", "export", "--to", "proto", "shop:Shop"])
    Path("shop.proto").write_text(capsys.readouterr().out, encoding="utf-8")
    assert mrpc.main(["schema", "import", "shop.proto", "-o", "greeter.py"]) == 0
    assert json.loads(dump(capsys, "greeter:Shop"))["services"][0]["methods"]["price"]
    assert mrpc.main(["schema", "import", "shop.proto"]) == 0
    text = Path("greeter.py").read_text(encoding="utf-8")
    assert capsys.readouterr().out == text
    assert mrpc.main(["schema", "import", "shop.proto", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == text
    assert mrpc.main(["schema", "import", "shop.proto", "-o", "greeter.py", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == "greeter.py"


def test_a_file_is_imported_whatever_its_name(capsys: Capture) -> None:
    """To the compiler, what begins with a dash is an option."""
    pytest.importorskip("grpc_tools")
    text = 'syntax = "proto3"; message A {} service Shop { rpc F(A) returns (A); }'
    Path("--o.proto").write_text(text, encoding="utf-8")
    assert mrpc.main(["schema", "import", "./--o.proto"]) == 0
    assert "class Shop:" in capsys.readouterr().out


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> str:
    """What any import makes: more than a small file takes."""
    text = "# a line of it\n" * 1000
    monkeypatch.setattr("machnet_rpc.cli.schema.import_proto", lambda *_: text)
    Path("shop.proto").write_text("", encoding="utf-8")
    return text


@pytest.mark.usefixtures("imported")
def test_an_import_that_fails_leaves_the_file_as_it_was(capsys: Capture) -> None:
    write("size: int = 0")
    Path("old.py").write_text("old = 1\n", encoding="utf-8")
    before = sorted(Path.cwd().iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        assert mrpc.main(["schema", "import", "shop.proto", "-o", "old.py"]) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "old.py cannot be written: File too large" in capsys.readouterr().err
    assert Path("old.py").read_text(encoding="utf-8") == "old = 1\n"
    assert sorted(Path.cwd().iterdir()) == before


def test_an_import_replaces_what_a_link_leads_to(imported: str) -> None:
    Path("real.py").write_text("old = 1\n", encoding="utf-8")
    Path("real.py").chmod(0o640)
    Path("link.py").symlink_to("real.py")
    assert mrpc.main(["schema", "import", "shop.proto", "-o", "link.py"]) == 0
    assert Path("link.py").is_symlink()
    assert Path("real.py").read_text(encoding="utf-8") == imported
    assert Path("real.py").stat().st_mode & 0o777 == 0o640


def test_an_import_makes_a_file_as_others_are_made(imported: str) -> None:
    Path("like.py").write_text("", encoding="utf-8")
    assert mrpc.main(["schema", "import", "shop.proto", "-o", "new.py"]) == 0
    assert Path("new.py").read_text(encoding="utf-8") == imported
    assert Path("new.py").stat().st_mode == Path("like.py").stat().st_mode


def test_an_import_goes_into_what_is_no_file(imported: str) -> None:
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert mrpc.main(["schema", "import", "shop.proto", "-o", "pipe"]) == 0
        assert os.read(reader, 1 << 20).decode() == imported
    finally:
        os.close(reader)
    assert Path("pipe").is_fifo()
