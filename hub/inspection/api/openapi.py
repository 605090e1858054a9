# SPDX-License-Identifier: Apache-2.0
"""The programming interface in OpenAPI 3.1, made from its table of operations and their models.

The schemas name every member that an answer has; a test holds the answers against them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec.json import schema_components

from hub.inspection.api.json_views import ErrorJson
from hub.inspection.api.login import LoginJson, SessionJson
from hub.inspection.api.operations import Operation
from hub.inspection.api.remote_reading import ProblemJson

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
READ_REFUSALS: Final = {
    "400": "A parameter or the login is not as it should be.",
    "401": "No login that holds.",
    "403": "The resident does not allow it.",
    "404": "There is nothing such.",
    "406": "Neither JSON nor CSV is taken.",
    "409": "It cannot be computed.",
    "429": "Too often; see Retry-After.",
}
LOGIN_PATH: Final = "/v1/login"
READABLE: Final = "/registers"
"""What has no CSV."""
_INTEGER_PATH: Final = re.compile(r"\{(\w+):int\}")


def openapi_document(asked: Sequence[Operation], read: Sequence[Operation] = ()) -> dict[str, Any]:
    """Return the document: what the resident's tokens ask, and what readers read."""
    operations = (*asked, *read)
    models = {kind for operation in operations for kind in operation.answers}
    models |= {ErrorJson, ProblemJson, LoginJson, SessionJson}
    queries = {operation.query for operation in operations}
    ordered = sorted(models | queries, key=lambda kind: kind.__name__)
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
        }
        | {LOGIN_PATH: {"post": _login()}},
        "components": {
            "schemas": {_name(name): _plain(schema) for name, schema in named.items()},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "reader": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic"},
            },
        },
    }


def _operation(operation: Operation, query: Schema) -> Schema:
    in_path = _INTEGER_PATH.findall(operation.path)
    responses = {"200": _response(operation.summary, operation.answers)}
    security: list[Schema] = [{"token": [str(operation.scope)]}]
    description = f"Needs the scope `{operation.scope}`."
    if operation.scope is None:
        security, description = [{"reader": []}, {"password": []}], "Needs a reader's login."
        text = {"schema": {"type": "string"}}
        if READABLE not in operation.path:
            responses["200"]["content"]["text/csv"] = text
        responses["304"] = {"description": "It is as it was: see ETag."}
        responses |= _problems(READ_REFUSALS)
    else:
        for status, refusal in REFUSALS.items():
            responses[status] = _response(refusal, (ErrorJson,))
    return {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": description,
        "security": security,
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


def _login() -> Schema:
    responses = {"200": _response("A session of ten minutes.", (SessionJson,))}
    refusals = {status: READ_REFUSALS[status] for status in ("400", "401", "403", "429")}
    refusals |= {"413": "The login is too large.", "415": "The login is not JSON."}
    body = {"application/json": {"schema": {"$ref": COMPONENTS + "Login"}}}
    return {
        "operationId": "logIn",
        "summary": "Begin a session with a reader's name and password.",
        "description": "Over TLS or on loopback only.",
        "security": [],
        "requestBody": {"required": True, "content": body},
        "responses": responses | _problems(refusals),
    }


def _problems(refusals: Mapping[str, str]) -> dict[str, Any]:
    schema = {"schema": {"$ref": COMPONENTS + "Problem"}}
    return {
        status: {"description": text, "content": {"application/problem+json": schema}}
        for status, text in refusals.items()
    }


def _response(description: str, models: Sequence[type]) -> dict[str, Any]:
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
    if "properties" in schema:  # of which one may be called as a word of the schema's is
        members = schema["properties"].items()
        plain["properties"] = {name: _plain(one) for name, one in members}
    if "$ref" in schema:
        plain["$ref"] = COMPONENTS + _name(schema["$ref"].removeprefix(COMPONENTS))
    if "enum" in schema:
        plain["type"] = "string"
    if members := schema.get("properties"):
        needed = [name for name in members if "default" in members[name]]
        plain |= {"required": schema["required"] + needed, "additionalProperties": False}
    return plain
