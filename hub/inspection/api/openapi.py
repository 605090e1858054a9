# SPDX-License-Identifier: Apache-2.0
"""The programming interface in OpenAPI 3.1, made from its table of operations.

The schemas name every member that an answer has; a test holds the answers against them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hub.inspection.api.operations import Operation

__all__ = ["openapi_document"]

Schema = Mapping[str, Any]

TEXT: Final[Schema] = {"type": "string"}
WHOLE: Final[Schema] = {"type": "integer"}
YES: Final[Schema] = {"type": "boolean"}
MOMENT: Final[Schema] = {"type": "string", "format": "date-time"}
DAY: Final[Schema] = {"type": "string", "format": "date"}
_INTEGER_PATH: Final = re.compile(r"\{(\w+):int\}")


def _object(**members: Schema) -> Schema:
    return {
        "type": "object",
        "properties": members,
        "required": sorted(members),
        "additionalProperties": False,
    }


def _keyed(**members: Schema) -> Schema:
    """As `_object`, of members some of whose names are Python's: a trailing `_` is dropped."""
    return _object(**{name.rstrip("_"): schema for name, schema in members.items()})


def _but(schema: Schema, optional: str) -> Schema:
    """Return an object's schema with one member that may be absent."""
    return {**schema, "required": [name for name in schema["required"] if name != optional]}


def _list(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _map(schema: Schema) -> Schema:
    return {"type": "object", "additionalProperties": schema}


def _maybe(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


MONEY: Final = _maybe(_ref("Money"))
SCHEMAS: Final[Mapping[str, Schema]] = {
    "Error": _object(error=TEXT),
    "Money": _object(exact=WHOLE, exact_decimals=WHOLE, rounded=TEXT, currency=TEXT),
    "Device": _object(
        meter=TEXT, register=TEXT, feed_in_register=_maybe(TEXT), zone=TEXT, slot_minutes=WHOLE,
        first_day=_maybe(DAY), last_day=_maybe(DAY), certified_days=WHOLE,
        last_reading=_maybe(MOMENT), log_entries=WHOLE,
    ),
    "Power": _keyed(
        watts=WHOLE, within_watts=WHOLE, from_=MOMENT, until=MOMENT, register_wh=WHOLE
    ),
    "Peak": _keyed(from_=MOMENT, seconds=WHOLE, energy_wh=WHOLE, watts=WHOLE),
    "Bucket": _keyed(
        from_=MOMENT, until=MOMENT, local_from=MOMENT, local_until=MOMENT,
        energy_wh=_maybe(WHOLE), feed_in_wh=_maybe(WHOLE),
        slots=_object(measured=WHOLE, estimated=WHOLE, substituted=WHOLE, missing=WHOLE),
        unknown_seconds=WHOLE, unattributed_wh=WHOLE, provisional=YES, peak=_maybe(_ref("Peak")),
        bands=_list(_object(band=TEXT, energy_wh=WHOLE, slots=WHOLE)),
        price_micro=_maybe(WHOLE), energy_cost=MONEY, cost=MONEY, no_cost_because=TEXT,
    ),
    "Readings": _object(
        zone=TEXT, slot_seconds=WHOLE, first_day=DAY, last_day=DAY, by=TEXT, tariffs=_list(TEXT),
        total=_ref("Bucket"), buckets=_list(_ref("Bucket")),
    ),
    "Comparison": _object(
        now=_ref("Readings"), before=_ref("Readings"), energy_difference_wh=_maybe(WHOLE),
        energy_ratio_ppm=_maybe(WHOLE), cost_difference=MONEY,
    ),
    "ReadingsOrComparison": {"anyOf": [_ref("Readings"), _ref("Comparison")]},
    "Fine": _object(
        day=DAY,
        uses=_list(
            _keyed(
                from_=MOMENT, until=MOMENT, energy_wh=_maybe(WHOLE), watts=_maybe(WHOLE),
                suspect=YES,
            )
        ),
    ),
    "Known": _object(
        slots=WHOLE, degrees_of_freedom=WHOLE, degrees_of_freedom_at_most=WHOLE, bits=WHOLE,
        shortest_window=_maybe(_object(first_day=DAY, last_day=DAY, days={"type": "number"})),
        nothing_finer_than_minutes=WHOLE, peaks=WHOLE,
    ),
    "Releases": _object(
        released=_list(
            _keyed(
                time=MOMENT, recipient=TEXT, purpose=TEXT, statement=TEXT, register=_maybe(TEXT),
                from_=MOMENT, until=MOMENT, first_day=DAY, last_day=DAY, bits=WHOLE, bytes=WHOLE,
            )
        ),
        refused=_list(_object(time=MOMENT, recipient=TEXT, purpose=TEXT, why=TEXT)),
        known=_map(_ref("Known")), bytes_left_house=WHOLE,
        outputs=_list(
            _object(time=MOMENT, recipient=TEXT, purpose=TEXT, output=TEXT, bits=WHOLE)
        ),
        exports=_list(
            _object(
                time=MOMENT, recipient=TEXT, purpose=TEXT, resolution_minutes=WHOLE, readings=WHOLE
            )
        ),
        aggregates=_list(
            _keyed(
                time=MOMENT, recipient=TEXT, purpose=TEXT, from_=MOMENT, until=MOMENT, region=TEXT,
                resolution_minutes=WHOLE, values=WHOLE, households=WHOLE, index=_maybe(TEXT),
            )
        ),
        copies=_list(
            _keyed(
                time=MOMENT, form=TEXT, from_=MOMENT, until=MOMENT, readings=WHOLE, size=WHOLE,
                sha256=TEXT,
            )
        ),
        raw_readings_left_house=WHOLE, messages=_list(WHOLE),
    ),
    "Message": _object(
        entry=WHOLE, time=MOMENT, recipient=TEXT, purpose=TEXT, applet=TEXT, size=WHOLE,
        fields=_list(_object(name=TEXT, value=TEXT)), bytes=TEXT,
    ),
    "Attacked": _object(
        step_seconds=WHOLE, known_steps=WHOLE, found=WHOLE, wrong=WHOLE,
        activations=_list(_keyed(appliance=TEXT, from_=MOMENT, until=MOMENT, watts=WHOLE)),
    ),
    "Attack": _object(
        first_day=DAY, last_day=DAY, house=_ref("Attacked"), recipients=_map(_ref("Attacked")),
        together=_ref("Attacked"),
    ),
    "Item": _keyed(
        component=TEXT, kind=TEXT, label=TEXT, from_=MOMENT, until=MOMENT, quantity=_maybe(WHOLE),
        unit=TEXT, rate=_maybe(WHOLE), amount_exact=WHOLE,
    ),
    "Proof": _object(verdict=TEXT, reason=TEXT, total=_maybe(TEXT), currency=_maybe(TEXT)),
    "Bill": _but(
        _keyed(
            applet=TEXT, invoice=WHOLE, replaces=_maybe(WHOLE), issued=MOMENT, from_=MOMENT,
            until=MOMENT, zone=TEXT, first_day=DAY, last_day=DAY, currency=TEXT, invoiced=TEXT,
            recomputed=_maybe(TEXT), verdict=TEXT, reason=TEXT, items=_list(_ref("Item")),
            exact_decimals=_maybe(WHOLE), missing_slots=_list(MOMENT), energy_wh=WHOLE,
            proof=_ref("Proof"),
        ),
        "proof",
    ),
    "Bills": _object(bills=_list(_ref("Bill"))),
    "Tariffs": _object(
        columns=_list(
            _object(name=TEXT, revision=WHOLE, digest=TEXT, first_day=DAY, last_day=DAY)
        ),
        rows=_list(
            _object(component=TEXT, band=TEXT, when=TEXT, prices=_list(TEXT), changes=YES)
        ),
    ),
    "Forecast": _object(
        method=TEXT, tariff=TEXT, first_day=DAY, last_day=DAY, known_until=MOMENT, known_wh=WHOLE,
        energy_wh=WHOLE, so_far=MONEY, cost=MONEY, bill={"type": "object"},
        mean_error_ppm=_maybe(WHOLE), worst_error_ppm=_maybe(WHOLE),
        backtests=_list(_object(first_day=DAY, forecast=MONEY, actual=MONEY, error_ppm=WHOLE)),
    ),
}  # fmt: skip
REFUSALS: Final = {
    "400": "A parameter is wrong.",
    "401": "No token that holds.",
    "403": "Not in the token's scopes.",
    "404": "There is nothing such.",
    "409": "It cannot be computed.",
    "429": "Too often; see Retry-After.",
}


def openapi_document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Meterlet, local inspection",
            "version": "1",
            "summary": "A resident's own readings, releases and bills.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/api"}],
        "security": [{"token": []}],
        "paths": {
            _INTEGER_PATH.sub(r"{\1}", operation.path): {"get": _operation(operation)}
            for operation in operations
        },
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation: Operation) -> Schema:
    parameters: list[Schema] = [
        {"name": name, "in": "path", "required": True, "schema": WHOLE}
        for name in _INTEGER_PATH.findall(operation.path)
    ]
    parameters += [
        {
            "name": parameter.name,
            "in": "query",
            "required": parameter.required,
            "description": parameter.summary,
            "schema": parameter.schema,
        }
        for parameter in operation.parameters
    ]
    answer = {"description": operation.summary, "content": _json(operation.schema)}
    refusals = {
        status: {"description": text, "content": _json("Error")}
        for status, text in REFUSALS.items()
    }
    return {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": f"Needs the scope `{operation.scope}`.",
        "security": [{"token": [str(operation.scope)]}],
        "parameters": parameters,
        "responses": {"200": answer, **refusals},
    }


def _json(schema: str) -> Schema:
    return {"application/json": {"schema": _ref(schema)}}
