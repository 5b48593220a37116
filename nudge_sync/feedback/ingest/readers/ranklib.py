"""Judgements for learning to rank, as RankLib, LETOR and SVMlight have them.

A line is a grade, `qid:` and the query's id, features, which are not read, and after `#` the id of
the document. The Elasticsearch plug-in for learning to rank begins the file with a line
`# qid:1: words` for each query; Quepid ends each line with the words of the query.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from io import BufferedReader
from itertools import chain, islice
from typing import Any

from nudge_sync.feedback.ingest.readers.raw_rows import RawRow
from nudge_sync.feedback.ingest.text_files import read_lines
from nudge_sync.feedback.schema.values import BadRow

_JUDGEMENT = re.compile(r"\s*(\S+)\s+qid:(\S+)([^#]*)(?:#(.*))?")
_QUERY_TEXT = re.compile(r"#\s*qid:([^:\s]+):\s*(.*)")
_LETOR_ID = re.compile(r"docid\s*=\s*(\S+)")
_SAMPLE_LINES = 2000


def is_ranklib_line(text: str) -> bool:
    """Return whether a line is a judgement for learning to rank."""
    match = _JUDGEMENT.match(text)
    return match is not None and re.fullmatch(r"-?[0-9.]+", match[1]) is not None


def is_query_text(text: str) -> bool:
    """Return whether a line is a comment that gives the words of a query."""
    return _QUERY_TEXT.match(text) is not None


def read_ranklib(stream: BufferedReader) -> Iterator[RawRow]:
    """Yield a label for each line; a line without a document's id is a bad row."""
    lines = read_lines(stream)
    sample = list(islice(lines, _SAMPLE_LINES))
    texts: dict[str, str] = {}
    ends_with_text = _ends_with_query_text(sample)
    for line, text in chain(sample, lines):
        if isinstance(text, BadRow):
            yield RawRow(line, text.detail, text)
        elif match := _QUERY_TEXT.match(text):
            texts[match[1]] = match[2].strip()
        elif text.strip() and not text.lstrip().startswith("#"):
            yield RawRow(line, text, _parse_judgement(text, texts, ends_with_text=ends_with_text))


def _parse_judgement(
    text: str, texts: Mapping[str, str], *, ends_with_text: bool
) -> Mapping[str, Any] | BadRow:
    match = _JUDGEMENT.match(text)
    if match is None:
        return BadRow("missing field", "a grade and qid: are expected")
    point, rest = _split_comment(match[4] or "")
    if not point:
        return BadRow("missing field", "point: the id of the document is expected after #")
    words = texts.get(match[2]) or (rest if ends_with_text else None)
    return {
        "query_id": match[2],
        "point": point,
        "grade": match[1],
        "text": words or None,
    }


def _split_comment(comment: str) -> tuple[str, str]:
    """Return the document's id, and what follows it."""
    letor = _LETOR_ID.search(comment)
    if letor:
        return letor[1], ""
    point, _, rest = comment.strip().replace("\t", " ").partition(" ")
    return point, rest.strip()


def _ends_with_query_text(lines: list[tuple[int, str | BadRow]]) -> bool:
    """Return whether what follows the documents' ids is one text for each query.

    Otherwise it is the documents' titles, as in files that begin with the texts of the queries.
    """
    rest_by_query: dict[str, str] = {}
    for _, text in lines:
        if isinstance(text, BadRow):
            continue
        if is_query_text(text):
            return False
        match = _JUDGEMENT.match(text)
        if match and not text.lstrip().startswith("#"):
            rest = _split_comment(match[4] or "")[1]
            if rest_by_query.setdefault(match[2], rest) != rest:
                return False
    return True
