"""The description of the feedback API as a page for people: `/docs`."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: feedback over HTTP</title>
<style>
{look}
main {{ max-width: 60rem; margin: 0 auto; padding: 1.6rem 1rem 3rem; }}
section {{ background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 1.1rem 1.2rem; margin-top: 1.2rem; }}
h2 {{ font-family: var(--mono); overflow-wrap: anywhere; }}
tbody tr:last-child > * {{ border-bottom: 0; }}
th[scope=row] {{ font-weight: 500; white-space: nowrap; }}
.soft {{ color: var(--ink-soft); }}
.soft code {{ white-space: nowrap; }}
nav ul {{ display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; list-style: none; padding: 0; }}
pre {{ overflow: auto; background: var(--paper); border-radius: 8px; padding: 1rem; }}
summary {{ cursor: pointer; margin-top: .9rem; color: var(--accent); }}
</style>
</head>
<body>
<main>
<h1>{title}: feedback over HTTP</h1>
<p class="soft">Version {version}. For programs: <a href="openapi.json">openapi.json</a>. Where a
token is set, send it as <code>Authorization: Bearer …</code></p>
<nav aria-label="Addresses"><ul>{links}</ul></nav>
{sections}
</main>
</body>
</html>
"""
_SECTION = """<section id="{anchor}">
<h2>{method} {path}</h2>
<h3>Address</h3>
{parameters}
<h3>Body</h3>
<p class="soft">{form}</p>
{fields}
<details><summary>As a JSON schema</summary><pre tabindex="0">{schema}</pre></details>
<h3>Answers</h3>
{answers}
</section>
"""
_PLURALS = {"integer or string": "integers or strings"}


def render_docs(description: Mapping[str, Any]) -> str:
    """Return an OpenAPI description as a page, which loads nothing from anywhere else."""
    operations = [
        (path, method, operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]
    return _PAGE.format(
        title=html.escape(description["info"]["title"]),
        version=html.escape(description["info"]["version"]),
        look=_read_look(),
        links="".join(
            f'<li><a href="#{_name_anchor(path)}"><code>{html.escape(path)}</code></a></li>'
            for path, _, _ in operations
        ),
        sections="".join(_render_operation(*operation) for operation in operations),
    )


@cache
def _read_look() -> str:
    return files("nudge_sync.evaluate").joinpath("look.css").read_text(encoding="utf-8")


def _name_anchor(path: str) -> str:
    return html.escape(path.strip("/").replace("/", "-"))


def _render_operation(path: str, method: str, operation: Mapping[str, Any]) -> str:
    content = operation["requestBody"]["content"]
    schema = content["application/json"]["schema"]
    row_schema = schema["oneOf"][0] if "oneOf" in schema else schema
    form = "One object, or a list of them." if "oneOf" in schema else "One object."
    if "properties" not in row_schema:
        form = f"{row_schema['description']}, as {' or '.join(content)}."
    answers = [(status, answer["description"]) for status, answer in operation["responses"].items()]
    return _SECTION.format(
        anchor=_name_anchor(path),
        method=method.upper(),
        path=html.escape(path),
        parameters=_render_table(
            ("parameter", "holds"),
            [
                (f"?{each['name']}=", describe_type(each["schema"]))
                for each in operation.get("parameters", [])
            ],
        ),
        form=html.escape(form),
        fields=_render_fields(row_schema) if "properties" in row_schema else "",
        schema=html.escape(json.dumps(schema, indent=2)),
        answers=_render_table(("status", "says"), answers),
    )


def _render_fields(schema: Mapping[str, Any]) -> str:
    required = schema.get("required", [])
    rows = [
        (
            name,
            describe_type(field),
            "; ".join(
                part
                for part in ("required" if name in required else "", field.get("description", ""))
                if part
            ),
        )
        for name, field in schema["properties"].items()
    ]
    return _render_table(("field", "holds", "notes"), rows)


def describe_type(schema: Mapping[str, Any]) -> str:
    """Return in words what a JSON schema lets through, such as "list of numbers"."""
    if "anyOf" in schema:
        kinds = (describe_type(each) for each in schema["anyOf"])
        return " or ".join(dict.fromkeys(kind for kind in kinds if kind != "null"))
    if "enum" in schema:
        return "one of: " + ", ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        inner = describe_type(schema.get("items", {}))
        if inner.startswith("one of"):
            return f"list, each {inner}"
        return f"list of {_PLURALS.get(inner, f'{inner}s')}"
    return str(schema.get("type", "anything"))


def _render_table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return '<p class="soft">No parameters.</p>'
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in heads)
    body = "".join(
        f'<tr><th scope="row"><code>{html.escape(row[0])}</code></th>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Table">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
