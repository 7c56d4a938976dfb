"""OpenAPI 3.1 from the declared routes: what is served is what is described."""

import re
from collections.abc import Mapping
from typing import Any, Final

from compat_http.dialect import Dialect, Route

_PARAMETER: Final = re.compile(r"\{([a-z_]+)\}")


def document(dialect: Dialect) -> dict[str, Any]:
    """The description of one dialect."""
    paths: dict[str, dict[str, Any]] = {}
    for route in dialect.routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(dialect, route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": dialect.title,
            "version": "1",
            "description": dialect.description,
        },
        "paths": paths,
        "components": {"schemas": {"Error": dict(dialect.error_schema)}},
    }


def _operation(dialect: Dialect, route: Route) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [*_path_parameters(route), *map(dict, route.parameters)],
        "responses": {str(route.success): _success(route), **_failures(dialect, route)},
    }
    if route.request_schema is not None:
        content: dict[str, Any] = {"schema": dict(route.request_schema)}
        if route.request_examples:
            content["examples"] = {
                name: {"value": value} for name, value in route.request_examples.items()
            }
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    return described


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    declared = {each["name"] for each in route.parameters if each.get("in") == "path"}
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(route.path)
        if name not in declared
    ]


def _success(route: Route) -> Mapping[str, Any]:
    if route.response_schema is None:
        return {"description": "Done."}
    content = {route.success_content_type: {"schema": dict(route.response_schema)}}
    return {"description": "Done.", "content": content}


def _failures(dialect: Dialect, route: Route) -> dict[str, Any]:
    """Every status that the dialect's table has."""
    statuses = sorted({answer.status for answer in dialect.reasons.values()} - {route.success})
    schema = {"$ref": "#/components/schemas/Error"}
    return {
        str(status): {
            "description": _reasons_of(dialect, status),
            "content": {"application/json": {"schema": schema}},
        }
        for status in statuses
    }


def _reasons_of(dialect: Dialect, status: int) -> str:
    texts = {answer.text for answer in dialect.reasons.values() if answer.status == status}
    return "\n".join(f"- {text}" for text in sorted(texts))
