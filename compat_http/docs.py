"""The readable form of the OpenAPI documents: small pages of our own, nothing fetched from afar."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final

import orjson

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1d1d1f; background: #fff }
h1, h2, h3 { line-height: 1.2 } h2 { margin-top: 2.5rem; border-top: 1px solid #ddd;
  padding-top: 1.5rem }
code, pre { font: 14px/1.45 ui-monospace, monospace; background: #f5f5f7; border-radius: 4px }
code { padding: .1em .3em } pre { padding: .8rem; overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-size: 15px }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem;
  border-bottom: 1px solid #eee }
.verb { color: #fff; background: #0a6; border-radius: 4px; padding: .1em .5em; font-weight: 600 }
.prose { white-space: pre-line }
@media (prefers-color-scheme: dark) { body { color: #eee; background: #1a1a1c }
  code, pre { background: #2a2a2d } th, td { border-color: #333 } h2 { border-color: #333 } }
"""


def index(titles: Mapping[str, str]) -> str:
    """The list of all dialects: name to title."""
    items = "".join(
        f'<li><a href="/docs/{escape(name)}">{escape(title)}</a>'
        f' (<a href="/openapi/{escape(name)}.json">OpenAPI</a>)</li>'
        for name, title in titles.items()
    )
    return _page("Legacy APIs", f"<h1>Legacy APIs</h1><ul>{items}</ul>")


def page(name: str, document: Mapping[str, Any]) -> str:
    """One dialect."""
    info = document["info"]
    parts = [
        f"<h1>{escape(info['title'])}</h1>",
        f'<p class="prose">{escape(info["description"])}</p>',
        f'<p><a href="/docs">All APIs</a> · <a href="/openapi/{escape(name)}.json">OpenAPI</a></p>',
    ]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts.extend(_operation(path, method, operation))
    return _page(info["title"], "".join(parts))


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> Iterable[str]:
    yield f'<h2><span class="verb">{method.upper()}</span> <code>{escape(path)}</code></h2>'
    yield f"<p>{escape(operation['summary'])}</p>"
    parameters = operation["parameters"]
    if parameters:
        rows = ((p["name"], p["in"], p["required"], p.get("description", "")) for p in parameters)
        yield _table(("Parameter", "In", "Mandatory", "Meaning"), rows)
    body = operation.get("requestBody")
    if body:
        content = body["content"]["application/json"]
        yield from _schema(content["schema"])
        for name, example in content.get("examples", {}).items():
            pretty = orjson.dumps(example["value"], option=orjson.OPT_INDENT_2).decode()
            yield f"<h3>Example: {escape(name)}</h3><pre>{escape(pretty)}</pre>"
    yield "<h3>Answers</h3>"
    answers = operation["responses"].items()
    yield _table(("Status", "When"), ((status, each["description"]) for status, each in answers))


def _schema(schema: Mapping[str, Any]) -> Iterable[str]:
    for variant in schema.get("oneOf", (schema,)):
        if "title" in variant:
            yield f"<h3>{escape(variant['title'])}</h3>"
        required = variant.get("required", ())
        yield _table(
            ("Member", "Mandatory", "Meaning"),
            (
                (name, name in required, each.get("description", ""))
                for name, each in variant.get("properties", {}).items()
            ),
        )


def _table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    head = "".join(f"<th>{each}</th>" for each in heads)
    body = "".join(
        "<tr>" + "".join(f'<td class="prose">{_cell(each)}</td>' for each in row) + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return escape(str(value))


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>{body}</body></html>"
    )
