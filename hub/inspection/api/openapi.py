# SPDX-License-Identifier: Apache-2.0
"""The programming interface in OpenAPI 3.1, made from its table of operations and their models.

The schemas name every member that an answer has; a test holds the answers against them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec.json import schema_components

from hub.inspection.api.json_views import ErrorJson
from hub.inspection.api.operations import Operation

Schema = Mapping[str, Any]

COMPONENTS: Final = "#/components/schemas/"
REFUSALS: Final = {
    "400": "A parameter is wrong.",
    "401": "No token that holds.",
    "403": "Not in the token's scopes.",
    "404": "There is nothing such.",
    "409": "It cannot be computed.",
    "429": "Too often; see Retry-After.",
}
_INTEGER_PATH: Final = re.compile(r"\{(\w+):int\}")


def openapi_document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the document."""
    models = {kind for operation in operations for kind in operation.answers}
    queries = {operation.query for operation in operations}
    ordered = sorted(models | queries | {ErrorJson}, key=lambda kind: kind.__name__)
    _, named = schema_components(ordered, ref_template=COMPONENTS + "{name}")
    parameters = {kind: named.pop(kind.__name__) for kind in queries}
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
            _INTEGER_PATH.sub(r"{\1}", operation.path): {
                "get": _operation(operation, parameters[operation.query])
            }
            for operation in operations
        },
        "components": {
            "schemas": {_name(name): _plain(schema) for name, schema in named.items()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation: Operation, query: Schema) -> Schema:
    in_path = _INTEGER_PATH.findall(operation.path)
    responses = {"200": _response(operation.summary, operation.answers)}
    for status, text in REFUSALS.items():
        responses[status] = _response(text, (ErrorJson,))
    return {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": f"Needs the scope `{operation.scope}`.",
        "security": [{"token": [str(operation.scope)]}],
        "parameters": [
            {
                "name": name,
                "in": "path" if name in in_path else "query",
                "required": name in query["required"],
                "description": schema["description"],
                "schema": {key: schema[key] for key in schema if key != "description"},
            }
            for name, schema in query["properties"].items()
        ],
        "responses": responses,
    }


def _response(description: str, models: Sequence[type]) -> Schema:
    refs = [{"$ref": COMPONENTS + _name(model.__name__)} for model in models]
    schema = refs[0] if len(refs) == 1 else {"anyOf": refs}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _name(model: str) -> str:
    return model.strip("_").removesuffix("Json")


def _plain(schema: Any) -> Any:
    """Return a schema of answers: references renamed, objects closed and with all their members.

    A member that has a default is in every answer; one that may be absent has none.
    """
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _plain(schema[key]) for key in schema if key not in ("title", "default")}
    if "$ref" in schema:
        plain["$ref"] = COMPONENTS + _name(schema["$ref"].removeprefix(COMPONENTS))
    if "enum" in schema:
        plain["type"] = "string"
    if members := schema.get("properties"):
        needed = [name for name in members if "default" in members[name]]
        plain |= {"required": schema["required"] + needed, "additionalProperties": False}
    return plain
