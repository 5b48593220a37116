"""What a request must show before a page answers: a token, and for a form that a page made it."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import Depends, HTTPException, Request

from nudge_sync.console.access import Visitor
from nudge_sync.console.context import ConsoleDependency

COOKIE_NAME = "nudge_sync_console"
PROOF_FIELD = "proof"
FORM_TYPE = "application/x-www-form-urlencoded"
MAX_FORM_BYTES = 16_384
_MAX_FORM_FIELDS = 32


class SignInNeeded(Exception):
    """The request shows no token that is right."""


def require_visitor(request: Request, console: ConsoleDependency) -> Visitor:
    """Return who asks. Raises SignInNeeded."""
    visitor = find_visitor(request, console)
    if visitor is None:
        raise SignInNeeded
    return visitor


def find_visitor(request: Request, console: ConsoleDependency) -> Visitor | None:
    """Return who asks, or None where they show no token."""
    header = console.config.serve.console_user_header
    return console.access.find_visitor(
        request.cookies.get(COOKIE_NAME, ""),
        request.headers.get("Authorization", ""),
        request.headers.get(header, "") if header else "",
    )


VisitorDependency = Annotated[Visitor, Depends(require_visitor)]


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a posted form, the last of each name. Raises HTTPException."""
    content_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if content_type != FORM_TYPE:
        raise HTTPException(415, f"send a form: {FORM_TYPE}")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise HTTPException(413, f"the form is longer than {MAX_FORM_BYTES} bytes")
    try:
        text = body.decode()
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FORM_FIELDS))
    except ValueError:
        raise HTTPException(400, "the form cannot be read") from None


def describe_form(*fields: str) -> dict[str, Any]:
    """Return what says to FastAPI, for `/openapi.json`, which fields a form may have."""
    properties = {name: {"type": "string"} for name in fields}
    schema = {"type": "object", "properties": properties}
    return {"requestBody": {"required": True, "content": {FORM_TYPE: {"schema": schema}}}}


RawForm = Annotated[dict[str, str], Depends(read_form)]


def check_form(
    visitor: VisitorDependency, form: RawForm, console: ConsoleDependency
) -> dict[str, str]:
    """Return a form that a page of ours made for this visitor. Raises HTTPException."""
    if not console.access.is_proof(visitor, form.get(PROOF_FIELD, "")):
        raise HTTPException(
            403, "the form does not come from a page that is open here; load the page again"
        )
    return form


ProvenForm = Annotated[dict[str, str], Depends(check_form)]


def require_operator(visitor: VisitorDependency) -> Visitor:
    """Return who asks, if they may act. Raises HTTPException."""
    if not visitor.may_act:
        raise HTTPException(403, "this token reads only; sign in with the one that acts")
    return visitor


OperatorDependency = Annotated[Visitor, Depends(require_operator)]
