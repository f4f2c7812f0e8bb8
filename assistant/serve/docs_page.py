"""`/docs`: the API's description as plain HTML, made from its OpenAPI; no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>
:root {{ color-scheme: light dark; font-family: ui-sans-serif, system-ui, sans-serif; line-height: 1.5; }}
body {{ max-width: 900px; margin: 24px auto; padding: 0 16px; }}
h2 {{ margin: 32px 0 4px; font-size: 1.1rem; }} code {{ font-family: ui-monospace, monospace; }}
table {{ border-collapse: collapse; width: 100%; margin: 8px 0; font-size: 0.92rem; }}
td, th {{ border: 1px solid #8886; padding: 4px 8px; text-align: left; vertical-align: top; }}
</style></head><body><h1>{title}</h1><p>{description}</p>
<p>The same for programs: <a href="/openapi.json">openapi.json</a></p>
{routes}</body></html>
"""


def docs_html(spec: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        spec: an OpenAPI description.
    Returns:
        HTML.
    """
    schemas = spec.get("components", {}).get("schemas", {})
    routes = "".join(
        _route(path, method, operation, schemas)
        for path, methods in spec["paths"].items()
        for method, operation in methods.items()
    )
    info = spec["info"]
    return _PAGE.format(title=escape(info["title"]), description=escape(info.get("description", "")), routes=routes)


def _route(path: str, method: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    body = _fields("Body", content, schemas) if content else ""
    statuses = ", ".join(operation.get("responses", {}))
    return (
        f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation.get('description', ''))}</p>{body}"
        f"<p>Statuses: {escape(statuses)}</p>"
    )


def _fields(title: str, schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    found = _resolved(schema, schemas)
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(_kind(rule))}</td>"
        f"<td>{'yes' if name in found.get('required', ()) else ''}</td>"
        f"<td>{escape(rule.get('description', ''))}</td></tr>"
        for name, rule in found.get("properties", {}).items()
    )
    return f"<table><tr><th>{title}</th><th>Type</th><th>Needed</th><th></th></tr>{rows}</table>"


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    found: Mapping[str, Any] = schemas.get(name, schema)
    return found


def _kind(rule: Mapping[str, Any]) -> str:
    """Return a field's type in words."""
    if "anyOf" in rule:
        return " or ".join(one for one in map(_kind, rule["anyOf"]) if one != "null")
    if "$ref" in rule:
        return str(rule["$ref"]).rpartition("/")[2]
    if "enum" in rule:
        return " | ".join(map(str, rule["enum"]))
    kind = str(rule.get("type", "any"))
    return f"list of {_kind(rule.get('items', {}))}" if kind == "array" else kind
