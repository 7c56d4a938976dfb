"""Writes the OpenAPI 3.1 document of the REST surface, from the contract and its comments.

REST is what the edge's transcoder makes of the contract: paths are those of google.api.http, a
body is the request as JSON, an answer the response as JSON with every field that cannot be absent,
and an error a google.rpc.Status.  What the edge answers by itself looks the same.
"""

import json
import re
from typing import Any, Final

from proto import reasons as reasons_of
from proto.contract import Contract, Method, Service, first_sentence
from proto.reasons import Reason
from proto.schemas import Schema, Schemas

FILE_NAME: Final = "openapi.json"

_INTRODUCTION: Final = """\
The gift card API `giftcard.v1` as JSON over HTTP.

- **Who calls:** a bearer token. An operation names the scope that the token's client needs.
- **Amounts** are whole minor units: `"1250"` is 12.50 USD. An int64 is a string.
- **Every call that writes** has a `requestId` of yours. The same id with the same meaning gets the
  first answer again, with the header `giftcard-replayed: true`. After an answer that was lost, send
  the same request again, ask `/v1/transactions:lookup`, or undo it with `/v1/transactions:reverse`.
- **Errors** carry an `ErrorInfo`; decide by its `reason`. OUTCOME_UNKNOWN never means that nothing
  was done. Any status that is not described here comes from a proxy in between, and says as little.
- **Answers** have every field that cannot be absent, also where it is empty.
- **Training:** `giftcard-book: training` keeps a call away from live cards.
"""
#: How the transcoder answers a status code.
_HTTP: Final = {
    "INVALID_ARGUMENT": "400",
    "FAILED_PRECONDITION": "400",
    "UNAUTHENTICATED": "401",
    "PERMISSION_DENIED": "403",
    "NOT_FOUND": "404",
    "ALREADY_EXISTS": "409",
    "ABORTED": "409",
    "RESOURCE_EXHAUSTED": "429",
    "INTERNAL": "500",
    "UNIMPLEMENTED": "501",
    "UNAVAILABLE": "503",
    "DEADLINE_EXCEEDED": "504",
}
#: What the edge answers by itself, besides what it passes on.
_EDGE: Final = (
    ("400", "INVALID_FIELD"), ("429", "OVERLOADED"), ("431", "REQUEST_TOO_LARGE"),
    ("503", "UNAVAILABLE"), ("503", "OUTCOME_UNKNOWN"), ("504", "OUTCOME_UNKNOWN"),
)  # fmt: skip
#: JSON is always larger than its message, so what is too large never gets to the service.
_EDGE_OF_BODIES: Final = (("413", "REQUEST_TOO_LARGE"),)
#: A path with something in the place of a name that can be no name, such as `..`, is no path.
_EDGE_OF_NAMES: Final = (("404", "UNIMPLEMENTED"),)
_NUMBERS: Final = {
    "INVALID_ARGUMENT": 3, "DEADLINE_EXCEEDED": 4, "NOT_FOUND": 5, "ALREADY_EXISTS": 6,
    "PERMISSION_DENIED": 7, "RESOURCE_EXHAUSTED": 8, "FAILED_PRECONDITION": 9, "ABORTED": 10,
    "UNIMPLEMENTED": 12, "INTERNAL": 13, "UNAVAILABLE": 14, "UNAUTHENTICATED": 16,
}  # fmt: skip
_TYPE: Final = "type.googleapis.com/google.rpc."
_VARIABLE: Final = re.compile(r"\{([a-z_.]+)=([^}]+)\}")
_SCOPE: Final = re.compile(r"Needs the scope ([A-Z]+)(?: or ([A-Z]+))?")


def source(contract: Contract, reasons: dict[str, Reason]) -> str:
    """Returns the document's text."""
    return json.dumps(_Document(contract, reasons).build(), indent=1, ensure_ascii=False) + "\n"


class _Document:
    def __init__(self, contract: Contract, reasons: dict[str, Reason]) -> None:
        self._contract = contract
        self._reasons = reasons
        self._schemas = Schemas(contract)

    def build(self) -> dict[str, Any]:
        paths: dict[str, dict[str, Any]] = {}
        for service in self._contract.services:
            for method in service.methods:
                verb = str(method.http.WhichOneof("pattern"))
                path, variables = self._path(method, getattr(method.http, verb))
                paths.setdefault(path, {})[verb] = self._operation(service, method, variables)
        return {
            "openapi": "3.1.0",
            "info": {"title": "Gift cards", "version": "v1", "description": _INTRODUCTION},
            "servers": [{"url": "https://127.0.0.1:8443", "description": "`make edge`"}],
            "tags": [
                {"name": service.name, "description": service.comment}
                for service in self._contract.services
            ],
            "paths": dict(sorted(paths.items())),
            "components": {
                "securitySchemes": {
                    "token": {
                        "type": "http",
                        "scheme": "bearer",
                        "description": "The token of an API client, as CreateCredential gave it.",
                    }
                },
                "parameters": {"Book": _BOOK},
                "headers": {"Replayed": _REPLAYED},
                "examples": {name: _example(each) for name, each in self._reasons.items()},
                "schemas": {**self._schemas.components(), **_ERROR_SCHEMAS},
            },
        }

    def _path(self, method: Method, template: str) -> tuple[str, dict[str, Schema]]:
        """The path, and its parameters by the field paths that they fill.

        A variable such as `{name=holds/*}` is one of the path per star, named as the field's
        comment names it: `holds/{hold}`.
        """
        found: dict[str, Schema] = {}
        path = template
        for field_path, pattern in _VARIABLE.findall(template):
            field = self._field(method.request, field_path)
            for words in re.findall(r"`([a-zA-Z/{}_]+)`", field.comment):
                if re.sub(r"\{[a-z_]+\}", "*", words) == pattern:
                    path = path.replace(f"{{{field_path}={pattern}}}", words)
                    found[field_path] = {"words": words, "comment": field.comment}
                    break
            else:
                raise ValueError(f"The comment of {method.request}.{field_path} has no {pattern}.")
        return path, found

    def _field(self, message: str, dotted: str) -> Any:
        name, _, rest = dotted.partition(".")
        (field,) = (e for e in self._contract.messages[message].fields if e.name == name)
        return self._field(field.type_name, rest) if rest else field

    def _operation(
        self, service: Service, method: Method, variables: dict[str, Schema]
    ) -> dict[str, Any]:
        operation: dict[str, Any] = {
            "operationId": method.name,
            "summary": first_sentence(method.comment),
            "description": method.comment,
            "tags": [service.name],
            "security": _security(method),
            "parameters": [
                *_path_parameters(variables),
                *self._query_parameters(method, variables),
                {"$ref": "#/components/parameters/Book"},
            ],
        }
        if method.http.body:
            schema = self._schemas.request(method.request, variables)
            operation["requestBody"] = {
                "required": True,
                "content": {"application/json": {"schema": schema}},
            }
        operation["responses"] = {
            "200": self._success(method),
            **self._failures(service, method, in_path=bool(variables)),
        }
        return operation

    def _query_parameters(
        self, method: Method, variables: dict[str, Schema]
    ) -> list[dict[str, Any]]:
        if method.http.body:
            return []
        return [
            {
                "name": field.descriptor.json_name,
                "in": "query",
                "description": field.comment,
                "required": "REQUIRED" in field.behaviors,
                "schema": {
                    key: value
                    for key, value in self._schemas.field(field).items()
                    if key != "description"
                },
            }
            for field in self._contract.messages[method.request].fields
            if field.name not in variables
        ]

    def _success(self, method: Method) -> dict[str, Any]:
        schema = self._schemas.answer(method.response)
        message = self._contract.messages[method.response]
        success: dict[str, Any] = {"description": first_sentence(message.comment)}
        if reasons_of.writes(self._contract.messages[method.request], method):
            success["headers"] = {"giftcard-replayed": {"$ref": "#/components/headers/Replayed"}}
        return {**success, "content": {"application/json": {"schema": schema}}}

    def _failures(self, service: Service, method: Method, *, in_path: bool) -> dict[str, Any]:
        by_status: dict[str, set[str]] = {}
        for name in reasons_of.of_method(self._contract, service, method) - {"REQUEST_TOO_LARGE"}:
            by_status.setdefault(_HTTP[self._reasons[name].code], set()).add(name)
        edge = {*_EDGE, *(_EDGE_OF_BODIES if method.http.body else ())}
        edge |= {*(_EDGE_OF_NAMES if in_path else ())}
        for status, name in edge:
            by_status.setdefault(status, set()).add(name)
        order = list(self._reasons)
        return {
            status: _failure(sorted(names, key=order.index))
            for status, names in sorted(by_status.items())
        }


def _path_parameters(variables: dict[str, Schema]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": f"The part of `{each['words']}` that says which. {each['comment']}",
            "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._~-]*$"},
        }
        for each in variables.values()
        for name in re.findall(r"\{([a-z_]+)\}", each["words"])
    ]


def _security(method: Method) -> list[dict[str, list[str]]]:
    """One of these suffices; without a scope any valid token does."""
    found = _SCOPE.search(" ".join(method.comment.split()))
    scopes = [scope for scope in found.groups() if scope] if found else []
    return [{"token": [scope]} for scope in scopes] or [{"token": []}]


def _failure(names: list[str]) -> dict[str, Any]:
    return {
        "description": ", ".join(names),
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Error"},
                "examples": {name: {"$ref": f"#/components/examples/{name}"} for name in names},
            }
        },
    }


def _example(reason: Reason) -> dict[str, Any]:
    info = {"metadata": {}, **reason.example}
    details: list[dict[str, Any]] = [{"@type": f"{_TYPE}ErrorInfo", **info}]
    if reason.name == "INVALID_FIELD":
        violation = {
            "field": info["metadata"]["field"],
            "description": "Must be positive.",
            "reason": reason.name,
        }
        details.append({"@type": f"{_TYPE}BadRequest", "fieldViolations": [violation]})
    if reason.code == "UNAVAILABLE" or "RetryInfo" in reason.text:
        details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": "0.200s"})
    return {
        "summary": first_sentence(reason.text),
        "description": f"{'A' if reason.is_decision else 'Not a'} decision. {reason.text}",
        "value": {
            "code": _NUMBERS[reason.code],
            "message": first_sentence(reason.text),
            "details": details,
        },
    }


_BOOK: Final[dict[str, Any]] = {
    "name": "giftcard-book",
    "in": "header",
    "description": "The separate set of accounts that the call works on; `live` when absent.",
    "schema": {"type": "string", "enum": ["live", "training"]},
}
_REPLAYED: Final[dict[str, Any]] = {
    "description": "There when this answers a repeated request with what was answered first.",
    "schema": {"type": "string", "const": "true"},
}


def _detail(name: str, description: str, **properties: Schema) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": {"@type": {"const": _TYPE + name}, **properties},
        "required": ["@type", *properties],
    }


_TEXT: Final[Schema] = {"type": "string"}
_ERROR_SCHEMAS: Final[dict[str, Schema]] = {
    "Error": {
        "type": "object",
        "description": "A google.rpc.Status: why a call failed.",
        "properties": {
            "code": {"type": "integer", "description": "The number of the gRPC status code."},
            "message": {
                "type": "string",
                "description": "A sentence for developers. Never decide by it.",
            },
            "details": {
                "type": "array",
                "description": "Exactly one ErrorInfo, and what helps besides.",
                "items": {
                    "oneOf": [
                        {"$ref": "#/components/schemas/ErrorInfo"},
                        {"$ref": "#/components/schemas/BadRequest"},
                        {"$ref": "#/components/schemas/RetryInfo"},
                    ]
                },
                "contains": {"$ref": "#/components/schemas/ErrorInfo"},
                "minContains": 1,
                "maxContains": 1,
            },
        },
        "required": ["code", "message", "details"],
    },
    "ErrorInfo": _detail(
        "ErrorInfo",
        "The reason, to decide by.",
        reason={"type": "string", "description": "The name of an ErrorReason."},
        domain={"const": "giftcard.v1"},
        metadata={
            "type": "object",
            "description": "Whatever varies in the message.",
            "additionalProperties": _TEXT,
        },
    ),
    "BadRequest": _detail(
        "BadRequest",
        "Which field is at fault, and what it must be.",
        fieldViolations={
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "field": {
                        "type": "string",
                        "description": "The path, in the spelling of the protocol: `page_size`.",
                    },
                    "description": _TEXT,
                    "reason": _TEXT,
                },
                "required": ["field", "description", "reason"],
            },
        },
    ),
    "RetryInfo": _detail(
        "RetryInfo",
        "How long to wait before the next try.",
        retryDelay={"type": "string", "pattern": r"^[0-9]+(\.[0-9]{1,9})?s$"},
    ),
}
