# SPDX-License-Identifier: Apache-2.0
"""What hub.toml says of the service is taken; what is wrong is named with its line."""

from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.description import SERVICE_TABLES, Description, with_meter_in
from hub.device import Device, DeviceError
from hub.meters.emulated import emulated_meter_id
from hub.meters.recognition import MeterKind
from hub.page_address import PageAddress
from hub.service.configuration import Address, RecipientSettings, ServiceSettings, SourceSettings
from hub.service.errors import ConfigurationRefused
from hub.service.places import Places
from hub.service.sample import SAMPLE
from protocols.metrology import ACTIVE_ENERGY_IMPORT, GAS_VOLUME
from protocols.remote_admin.wake import BrokerAddress

HOME: Final = Description(emulated_meter_id(1), (ACTIVE_ENERGY_IMPORT,), "Europe/Berlin", 15)
GAS: Final = Description(b"LGB 1", (GAS_VOLUME,), "Europe/Berlin@06:00", 60)
BEGIN: Final = HOME.to_toml()
LINES: Final = len(BEGIN.splitlines())
SERVE: Final = '[serve]\naddress = "127.0.0.1:7816"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, mode in (("login", 0o600), ("open-login", 0o644), ("hub.pem", 0o644), ("key", 0o600)):
        (tmp_path / name).write_text("name:a-secret-of-mine")
        (tmp_path / name).chmod(mode)
    return tmp_path


def parse(text: str, folder: Path = Path("/nowhere")) -> ServiceSettings:
    return ServiceSettings.parse(text, folder)


def refusal(text: str, folder: Path = Path("/nowhere")) -> ConfigurationRefused:
    with pytest.raises(ConfigurationRefused) as caught:
        parse(text, folder)
    return caught.value


def test_all_that_may_be_said_is_taken(folder: Path) -> None:
    text = (
        HOME.with_meter("gas", GAS).to_toml()
        + """
[sources.main]
address = "serial:///dev/ttyUSB0?baud=9600"
kind = "sml"
every = "1min"
silent_after = "10min"

[sources.plug]
address = "http://192.0.2.1/power?id=7"
login_file = "login"
of = "gas"

[recipients.supplier]
address = "https://hubs.example:8443"
poll = "1h"

[recipients.gasworks]
address = "https://gas.example"
of = "gas"
wake = "mqtts://gas.example:9000?version=3.1.1"

[serve]
address = "[::1]:7816"

[pages]
address = "0.0.0.0:443"
names = ["hub.home", "hub.example"]
certificate = "hub.pem"
key = "key"

[health]
address = "localhost:0"
"""
    )
    found = parse(text, folder)
    assert found == ServiceSettings(
        HOME.with_meter("gas", GAS),
        (
            SourceSettings(
                "main", "serial:///dev/ttyUSB0?baud=9600", MeterKind.SML, 60, silent_after=600
            ),
            SourceSettings(
                "plug", "http://192.0.2.1/power?id=7", of="gas", login_file=folder / "login"
            ),
        ),
        (
            RecipientSettings("supplier", "https://hubs.example:8443", 3600.0),
            RecipientSettings(
                "gasworks",
                "https://gas.example",
                of="gas",
                broker=BrokerAddress("gas.example", 9000, is_old=True),
            ),
        ),
        Address("::1", 7816),
        PageAddress(
            "0.0.0.0", 443, ("hub.home", "hub.example"), folder / "hub.pem", folder / "key"
        ),
        Address("localhost", 0),
    )
    assert found.sources[1].shown_address == "http://192.0.2.1/power"
    assert "a-secret-of-mine" not in repr(found)


def test_the_kind_is_known_where_the_address_says_it() -> None:
    source = '[sources.bus]\naddress = "mbus:///dev/ttyUSB1?every=15min"\n'
    assert parse(BEGIN + source).sources[0].kind is MeterKind.MBUS


def test_the_sample_is_fine_as_it_stands_and_with_all_it_mentions(folder: Path) -> None:
    usual = parse(BEGIN + SAMPLE)
    assert (usual.sources, usual.serve) == ((), Address("127.0.0.1", 7816))
    (folder / "keys").mkdir()
    (folder / "keys" / "plug.login").write_text("a:b")
    (folder / "keys" / "pages.key").write_text("")
    for file in (folder / "keys").iterdir():
        file.chmod(0o600)
    lines = (line.removeprefix("#") if line[:2] != "# " else line for line in SAMPLE.splitlines())
    whole = "\n".join(lines)
    described = HOME.with_meter("gas", GAS).to_toml()
    found = parse(described + whole, folder)
    assert (found.sources[0].of, found.recipients[0].of) == ("gas", "gas")


WRONG: Final = (
    # what is written behind the meter's part, the line behind it, the key, words of the remedy
    ("[serv]\n", 1, "serv", "did you mean serve?"),
    ("[serve]\n", 1, "serve.address", "it is missing: write address ="),
    ('[serve]\naddress = "127.0.0.1"\n', 2, "serve.address", "a host and a port are due"),
    ('[serve]\naddress = "127.0.0.1:65536"\n', 2, "serve.address", "a host and a port"),
    ('[serve]\naddress = "me@host:1"\n', 2, "serve.address", "a host and a port"),
    ("[serve]\naddress = 7816\n", 2, "serve.address", "a text in quotes"),
    ('[serve]\nadress = "x"\n', 2, "serve.adress", "did you mean address?"),
    ('[serve]\n\n# here\nport = 1\naddress = "127.0.0.1:1"\n', 4, "serve.port", "no such key"),
    ('[health]\naddress = "127.0.0.1:1"\n[serve]\naddress = "127.0.0.1:1"\n', 2, "health.address",
     "[serve] is there already"),
    ('[pages]\naddress = "192.0.2.1:80"\n', 2, "pages.address", "not loopback"),
    ('[pages]\naddress = "127.0.0.1:80"\nkey = "key"\n', 1, "pages.certificate", "TLS needs both"),
    ('[pages]\naddress = "0.0.0.0:80"\nkey = "key"\ncertificate = "hub.pem"\n', 2, "pages.address",
     "a name is needed"),
    ('[pages]\naddress = "127.0.0.1:80"\nnames = "hub"\n', 3, "pages.names", "a list of texts"),
    ('[pages]\naddress = "127.0.0.1:80"\nkey = "nokey"\n', 3, "pages.key", "no such file"),
    ('[pages]\naddress = "127.0.0.1:80"\nkey = "open-login"\n', 3, "pages.key", "must be 0600"),
    ("sources = 1\n", 0, "sources", "a table is due"),
    ("[sources]\n", 1, "sources", "1 to 32 tables"),
    ('[sources]\naddress = "tcp://a:1"\n', 2, "sources.address", "a table with a name"),
    ('[sources.Main]\naddress = "tcp://a:1"\n', 1, "sources.Main", "small letters"),
    ("[sources.a]\n", 1, "sources.a.address", "it is missing"),
    ('[sources.a]\naddress = "/dev/ttyUSB0"\n', 2, "sources.a.address", "a line is due"),
    ('[sources.a]\naddress = "synthetic"\n', 2, "sources.a.address", "a line is due"),
    ('[sources.a]\naddress = "file:///etc/passwd"\n', 2, "sources.a.address", "no source"),
    ('[sources.a]\naddress = "serial:///dev/tty?bauds=9600"\n', 2, "sources.a.address", "no bauds"),
    ('[sources.a]\naddress = "tcp://host"\n', 2, "sources.a.address", "a host and a port"),
    ('[sources.a]\naddress = "tcp://a:1"\nkind = "smll"\n', 3, "sources.a.kind", "mean sml?"),
    ('[sources.a]\naddress = "tcp://a:1"\nevery = "often"\n', 3, "sources.a.every", "a time is"),
    ('[sources.a]\naddress = "tcp://a:1"\nsilent_after = "1s"\n', 3, "sources.a.silent_after",
     "10 s at least"),
    ('[sources.a]\naddress = "tcp://a:1"\nof = "gas"\n', 3, "sources.a.of", "no such meter"),
    ('[sources.a]\naddress = """\\\n  tcp://a:1"""\nlogin_file = "open-login"\n', 4,
     "sources.a.login_file", "must be 0600"),
    ('[sources.a]\naddress = "tcp://a:1"\n[sources.b]\naddress = "tcp://a:1"\n', 4,
     "sources.b.address", "a line has one reader"),
    ("[recipients.a]\n", 1, "recipients.a.address", "it is missing"),
    ('[recipients.a]\naddress = "http://a"\n', 2, "recipients.a.address", "as https://HOST:PORT"),
    ('[recipients.a]\naddress = "https://a/b"\n', 2, "recipients.a.address", "as https://HOST"),
    ('[recipients.a]\naddress = "https://a"\nwake = "mqtt://a"\n', 3, "recipients.a.wake", "mqtts"),
    ('[recipients.a]\naddress = "https://a"\npol = "1h"\n', 3, "recipients.a.pol", "mean poll?"),
    ('[recipients.a]\naddress = "https://a"\nof = "gas"\n', 3, "recipients.a.of", "no such meter"),
    ('[recipients.a-]\naddress = "https://a"\n', 1, "recipients.a-", "such a name"),
    ("[serve\n", 1, "", "not TOML"),
    ('[serve]\naddress = "a', 2, "", "not TOML"),
    ("", 0, "", "nothing for the service to do; `meterlet hub run --sample`"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line", "key", "remedy"), WRONG, ids=[str(one[2]) for one in WRONG]
)
def test_what_is_wrong_is_named_with_its_line_its_key_and_what_to_do(
    folder: Path, text: str, line: int, key: str, remedy: str
) -> None:
    is_top = text.startswith("sources =")
    error = refusal(text + BEGIN if is_top else BEGIN + text, folder)
    where = 1 if is_top else LINES + line if line else 0
    assert (error.line, error.key) == (where, key)
    assert remedy in error.reason
    assert str(error).startswith(f"hub.toml, line {where}: " if where else "hub.toml: ")


@pytest.mark.parametrize(
    ("old", "new", "key", "line"),
    [
        ('zone = "Europe/Berlin"', 'zone = "Europe/Bärlin"', "zone", 6),
        ("slot_minutes = 15", "slot_minutes = 7", "slot_minutes", 7),
        ("slot_minutes = 15", "slot_minuts = 15", "slot_minuts", 7),
        ('meter = "0a', 'meter = "0g', "meter", 2),
        ("1-0:1.8.0*255", "1-0:1.8", "registers", 3),
        ("format = 2", "format = 9", "format", 1),
        ('zone = "Europe/Berlin"\n', "", "zone", 0),
    ],
)
def test_what_is_wrong_with_the_meter_is_named_too(old: str, new: str, key: str, line: int) -> None:
    assert old in BEGIN
    error = refusal(BEGIN.replace(old, new) + SERVE)
    assert (error.key, error.line) == (key, line)


def test_a_further_meter_is_named_with_its_table() -> None:
    text = HOME.with_meter("gas", GAS).to_toml().replace("slot_minutes = 60", "slot_minutes = 61")
    assert refusal(text + SERVE).key == "meters.gas.slot_minutes"


@given(st.integers(0, LINES + 40))
def test_a_key_is_found_wherever_comments_stand(number: int) -> None:
    lines = (BEGIN + SAMPLE).splitlines(keepends=True)
    at = min(number, len(lines))
    text = "".join([*lines[:at], "# a comment\n\n", *lines[at:]])
    line = Places(text).line_of(("pages", "address"))
    assert text.splitlines()[line - 1].startswith('address = "127.0.0.1:8321"')


@settings(max_examples=60)
@given(st.text(max_size=120))
def test_any_text_is_taken_or_refused(text: str) -> None:
    with suppress(ConfigurationRefused):
        assert parse(BEGIN + text).description == HOME


def test_the_description_is_the_same_with_and_without_the_service() -> None:
    assert Description.from_toml(BEGIN + SAMPLE) == HOME
    with pytest.raises(ValueError, match="a file without a format"):
        Description.from_toml(BEGIN.replace("format = 2\n", "") + SAMPLE)
    assert {"sources", "serve", "pages", "health"} <= set(SERVICE_TABLES)


def test_a_further_meter_comes_into_the_file_and_all_else_stays(tmp_path: Path) -> None:
    with Device.create(tmp_path / "hub", HOME) as device:
        path = tmp_path / "hub" / "hub.toml"
        path.write_text(path.read_text() + "# mine\n" + SAMPLE)
        device.add_meter("gas", GAS)
    text = path.read_text()
    assert "# mine\n" in text
    assert SAMPLE.strip() in text
    assert ServiceSettings.load(tmp_path / "hub").description == HOME.with_meter("gas", GAS)
    with Device.open(tmp_path / "hub") as device:
        assert list(device.meters) == ["gas"]
        # A form that cannot be added to is left as it is.
        inline = ", ".join(GAS.to_toml().replace("\n]", "]").replace("[\n", "[").splitlines()[1:])
        path.write_text(f"meters = {{ gas = {{ {inline} }} }}\n{text.split('[meters.gas]')[0]}")
        assert ServiceSettings.load(tmp_path / "hub").description == HOME.with_meter("gas", GAS)
        before = path.read_text()
        with pytest.raises(DeviceError, match=r"write the table \[meters.water\] by hand"):
            device.add_meter("water", Description(b"W", (b"\x08\x00\x01\x00\x00\xff",), "UTC", 60))
        assert path.read_text() == before


def test_a_meter_that_would_not_be_what_was_described_is_not_written() -> None:
    text = BEGIN.replace("format = 2", '"format" = 2')
    with pytest.raises(ValueError, match=r"write the table \[meters.gas\] by hand"):
        with_meter_in(text, "gas", HOME.with_meter("gas", GAS))
