# SPDX-License-Identifier: Apache-2.0
"""Reads Green Button files, and checks the order of their elements."""

from collections.abc import Iterator
from xml.etree import ElementTree

ATOM = "{http://www.w3.org/2005/Atom}"
ESPI = "{http://naesb.org/espi}"
ORDERS = {
    "UsagePoint": ("ServiceCategory",),
    "LocalTimeParameters": ("dstEndRule", "dstOffset", "dstStartRule", "tzOffset"),
    "MeterReading": (),
    "ReadingType": (
        "accumulationBehaviour", "commodity", "dataQualifier", "flowDirection", "intervalLength",
        "kind", "phase", "powerOfTenMultiplier", "timeAttribute", "uom",
    ),
    "IntervalReading": ("ReadingQuality", "timePeriod", "value"),
    "interval": ("duration", "start"),
    "timePeriod": ("duration", "start"),
    "ReadingQuality": ("quality",),
    "ServiceCategory": ("kind",),
}  # fmt: skip
"""The children of each element, in the order of the standard's schema."""
ENTRY = ("id", "link", "title", "content", "published", "updated")


def check_order(element: ElementTree.Element) -> None:
    name = element.tag.removeprefix(ESPI)
    children = tuple(child.tag.removeprefix(ESPI) for child in element)
    if name == "IntervalBlock":
        assert children[0] == "interval"
        assert set(children[1:]) <= {"IntervalReading"}
    else:
        assert children == ORDERS.get(name, ())
    for child in element:
        assert child.tag.startswith(ESPI)
        check_order(child)
    if not len(element) and name != "MeterReading":
        assert element.text
        assert element.text == element.text.strip()


def resources(content: bytes) -> Iterator[ElementTree.Element]:
    """The resources of a feed whose form is right."""
    feed = ElementTree.fromstring(content)
    assert [child.tag for child in feed][:3] == [f"{ATOM}id", f"{ATOM}title", f"{ATOM}updated"]
    links, ids = set(), set()
    for entry in feed.findall(f"{ATOM}entry"):
        tags = [child.tag.removeprefix(ATOM) for child in entry]
        assert tuple(dict.fromkeys(tags)) == ENTRY
        by_relation = {link.get("rel"): link.get("href", "") for link in entry.iter(f"{ATOM}link")}
        assert by_relation["self"].rpartition("/")[0] == by_relation["up"]
        links.add(by_relation["self"])
        ids.add(entry.findtext(f"{ATOM}id"))
        [resource] = entry.findall(f"{ATOM}content")[0]
        check_order(resource)
        yield resource
    assert len(ids) == len(links) == len(feed.findall(f"{ATOM}entry"))


def number(element: ElementTree.Element, path: str) -> int:
    text = element.findtext("/".join(ESPI + part for part in path.split("/")))
    assert text is not None
    return int(text)
