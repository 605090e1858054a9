# SPDX-License-Identifier: Apache-2.0
"""A form that is refused stays: as it was filled in, the field in fault marked, and a way on."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from shutil import copytree

import pytest

from hub.inspection.web.page_request import MOST_FAULTS
from tests.support.pages import PASSPHRASE, Browser, browser

PAGES = (
    "/consents",
    "/consents/1",
    "/consents/readers",
    "/applets",
    "/bill",
    "/export",
    "/releases",
    "/readings?view=day&at=2025-03-10",
    "/readings?view=days&at=2025-03-10&last=2025-04-09&by=week",
)
FOOTER = ("/language", "/sign-out")
UNCHECKED = ("/log",)
"""Takes any kind, and shows all where there is none of it."""
EMPTY_TAGS = frozenset({"input", "br", "hr", "img", "link", "meta", "rect", "line", "path"})


@dataclass
class Field:
    """A field of a form."""

    name: str
    kind: str
    value: str
    attributes: dict[str, str | None]
    options: list[str] = field(default_factory=list)


@dataclass
class Form:
    """A form of a page."""

    action: str
    method: str
    fields: list[Field] = field(default_factory=list)

    @property
    def typed(self) -> list[Field]:
        return [one for one in self.fields if one.kind != "hidden"]

    @property
    def identity(self) -> tuple[str, str, tuple[str, ...]]:
        hidden = [one for one in self.fields if one.kind == "hidden" and one.name == "consent"]
        return self.action, self.method, tuple(one.value for one in hidden)

    def field(self, name: str) -> Field:
        return next(one for one in self.fields if one.name == name)


class Reader(HTMLParser):
    """Reads the forms of a page, and what has the focus when it is opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.focused: list[str] = []
        self.alert = ""
        self._form: Form | None = None
        self._in_alert = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if "autofocus" in given:
            self.focused.append(str(given.get("name") or given.get("id")))
        if given.get("id") == "problem" and given.get("role") == "alert":
            self._in_alert = True
        if tag == "form":
            self._form = Form(str(given["action"]), str(given.get("method", "get")))
            self.forms.append(self._form)
        if self._form is None:
            return
        if tag in ("input", "select"):
            kind = str(given.get("type", "text")) if tag == "input" else "select"
            value = str(given.get("value") or "")
            if kind == "checkbox":
                value = value if "checked" in given else ""
            self._form.fields.append(Field(str(given["name"]), kind, value, given))
        if tag == "option":
            last = self._form.fields[-1]
            last.options.append(str(given["value"]))
            if "selected" in given or len(last.options) == 1:
                last.value = str(given["value"])

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        self._in_alert = self._in_alert and tag != "p"

    def handle_data(self, data: str) -> None:
        if self._in_alert:
            self.alert += data


@pytest.fixture(scope="module")
def owner(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    folder = tmp_path_factory.mktemp("forms") / "hub"
    copytree(demo_home, folder)
    with browser(folder) as someone:
        someone.post(
            "/consents/export", recipient="neighbour", purpose="comparing", minutes="60",
            first="2025-03-01", last="2025-03-31", until="2027-01-01",
        )  # fmt: skip
        yield someone


def filled(form: Form) -> dict[str, str]:
    """Something right in each field, other than what is usual where that can be."""
    values = {}
    for one in form.fields:
        if one.kind == "date":
            values[one.name] = one.value or "2025-03-02"
        elif one.kind == "text":
            values[one.name] = one.value or ("somebody" if "required" in one.attributes else "")
        elif one.kind == "select":
            values[one.name] = one.options[-1]
        elif one.kind == "checkbox":
            values[one.name] = "yes"
        elif one.kind == "hidden":
            values[one.name] = one.value
    return values


def bad_values(one: Field) -> tuple[str | None, ...]:
    """What must not be in a field; None: nothing is sent."""
    match one.kind:
        case "date":
            return "2025-02-30", "0001-01-01", "tomorrow"
        case "checkbox":
            return (None,)
        case "select":
            return ("nonsense",)
        case "file":
            return None, "no such thing"
    if "inputmode" in one.attributes:
        return "-1", "1e3", "a few"
    return "\x07", "x" * 64


def forms_of(owner: Browser) -> list[tuple[str, Form]]:
    found: dict[object, tuple[str, Form]] = {}
    for path in PAGES:
        for form in Reader(owner.get(path).text).forms:
            if form.typed and form.action not in (*FOOTER, *UNCHECKED):
                names = tuple(one.name for one in form.typed)
                found.setdefault((form.identity, names), (path, form))
    return list(found.values())


def test_every_form_stays_as_it_was_filled_in_with_the_fault_marked(owner: Browser) -> None:
    forms = forms_of(owner)
    assert {form.action for _, form in forms} >= {
        "/consents/export", "/consents/1", "/applets/package", "/bill/what-if", "/export/readings",
        "/export/bill", "/export/consent", "/releases/lists", "/releases/attack", "/readings",
    }  # fmt: skip
    tried = 0
    for _, form in forms:
        for one in form.typed:
            for bad in bad_values(one):
                told = [_refused(owner, form, one, bad, language) for language in ("en", "de")]
                assert told[0] != told[1], (form.action, one.name, told)
                tried += 1
    assert tried > 50


def _refused(owner: Browser, form: Form, one: Field, bad: str | None, language: str) -> str:
    """Send a form with one bad field; return what the page says of it."""
    values = filled(form)
    files = {field.name: ("a", b"something") for field in form.typed if field.kind == "file"}
    values.pop(one.name, None)
    files.pop(one.name, None)
    if bad is not None and one.kind == "file":
        files[one.name] = ("a", bad.encode())
    elif bad is not None:
        values[one.name] = bad
    where = f"{form.action} {one.name} {bad!r}"
    headers = {"Accept-Language": language}
    if form.method == "post":
        answer = owner.post(form.action, values, headers=headers, files=files or None)
    else:
        answer = owner.get(form.action, params=values, headers=headers)
    assert answer.status_code == 400, where
    assert f'<html lang="{language}">' in answer.text, where
    page = Reader(answer.text)
    again = next((each for each in page.forms if each.identity == form.identity), None)
    assert again is not None, where
    for each in again.typed:
        is_fault = each.name == one.name or (one.kind == "file" and each.kind == "file")
        if each.name in values and not is_fault:
            assert each.value == values[each.name], f"{where}: {each.name}"
    if one.kind in ("text", "date"):
        assert again.field(one.name).value == bad, where
    marked = [each for each in again.typed if "aria-invalid" in each.attributes]
    assert len(marked) == 1, where
    assert page.focused == [marked[0].name], where
    if one.kind != "file":
        assert marked[0].name == one.name, where
    described = str(marked[0].attributes["aria-describedby"]).split()
    assert "problem" in described, where
    assert page.alert, where
    return page.alert


def test_the_door_keeps_the_name_and_says_which_field_is_wrong(
    demo_home: Path, tmp_path: Path
) -> None:
    copytree(demo_home, tmp_path / "hub")
    with browser(tmp_path / "hub", role=None) as stranger:
        right = {
            "code": stranger.parts.welcome_code, "name": "anna", "passphrase": PASSPHRASE,
            "again": PASSPHRASE,
        }  # fmt: skip
        headers = {"Accept-Language": "it"}
        for name, bad in (
            ("code", "wrong"), ("name", "Anna Müller"), ("passphrase", "111111"),
            ("again", "another"),
        ):  # fmt: skip
            stranger.clock.now += 3_600  # who fails has to wait
            fields = {**right, name: bad}
            if name == "passphrase":
                fields["again"] = bad
            page = Reader(stranger.post("/welcome", fields, page="/welcome", headers=headers).text)
            assert page.focused == [name]
            assert page.alert
            assert not re.search(r"\b(the|is|not)\b", page.alert), page.alert
            [form] = page.forms
            assert form.field("name").value == fields["name"]
            assert form.field("code").value == fields["code"]
            assert form.field("passphrase").value == form.field("again").value == ""
        stranger.clock.now += 3_600
        answer = stranger.post("/welcome", right, page="/welcome")
        assert answer.url.path == "/", Reader(answer.text).alert
        stranger.post("/sign-out")
        answer = stranger.post("/sign-in", page="/sign-in", name="anna", passphrase="wrong one")
        page = Reader(answer.text)
        assert (answer.status_code, page.focused) == (403, ["passphrase"])
        assert page.forms[0].field("name").value == "anna"
        assert page.forms[0].field("passphrase").value == ""


def test_what_is_refused_without_a_form_offers_a_way_on(owner: Browser) -> None:
    for path, back in (
        ("/consents/999", "/consents"),
        ("/releases/1", "/releases"),
        ("/applets/00/remove", "/applets"),
        ("/bill?applet=00&number=9", "/bill"),
        ("/work/none", "/"),
    ):
        answer = owner.get(path, headers={"Accept-Language": "fr"})
        assert answer.status_code in (400, 409), path
        assert f'href="{back}"' in answer.text.partition("<main")[2].partition("</main>")[0]
    forged = owner.client.post(
        "/export/readings", data={"token": "00"}, headers={"Origin": "http://127.0.0.1:8321"}
    )
    assert forged.status_code == 403
    assert 'href="/export"' in forged.text.partition("<main")[2].partition("</main>")[0]


def test_what_happened_meanwhile_is_said_on_the_page_it_was_asked_on(owner: Browser) -> None:
    answer = owner.post("/set-aside/7/drop", headers={"Accept-Language": "de"})
    page = Reader(answer.text)
    assert page.focused == ["problem"]
    assert "Nummer 7" in page.alert
    assert "<h1>Beiseite" in answer.text
    answer = owner.post("/consents/1/narrow", least_days="1")
    assert "that would allow more" in Reader(answer.text).alert


def test_an_address_with_many_faults_is_told_so_without_end(owner: Browser) -> None:
    names = ("view", "by", "hour", "at", "beside", "last")
    assert len(names) < MOST_FAULTS
    query = "&".join(f"{name}=nonsense" for name in names)
    answer = owner.get(f"/readings?{query}")
    assert answer.status_code == 400
    assert Reader(answer.text).alert


def test_the_page_sent_to_is_never_the_one_a_language_goes_back_to(owner: Browser) -> None:
    page = Reader(owner.post("/bill/what-if", first="x").text)
    language = next(form for form in page.forms if form.action == "/language")
    assert language.field("next").value == "/bill"
