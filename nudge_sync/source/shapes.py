"""Answers of another shape than the one that a source was written for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nudge_sync.errors import SourceError


@contextmanager
def expect_shape(what: str) -> Iterator[None]:
    """Raise SourceError where a block meets an answer of another shape than it was written for.

    what: which answer, for the message.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise SourceError(
            f"{what} is not of the documented shape ({type(error).__name__}: {error}); "
            "its server may be of a version that this one does not know"
        ) from error
