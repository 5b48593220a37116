"""Searches and events in the spans of traces and in what people thought of them.

A RETRIEVER span is a search. Its vector stands on an EMBEDDING span of the same text, if anywhere.
An opinion on a document of it is a label; a point that an answer cites is an event `cited`; an
opinion on an answer becomes an event `thumb`, with the opinion as its grade, on each point that the
answer cites. An opinion on an answer that cites nothing tells of no point: it is handed over as
`uncited_thumb`, which the import counts and leaves out. What models and programs judge has actions
of its own, `machine_relevant` and `machine_thumb`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nudge_sync.connector import PointId
from nudge_sync.source import MACHINE_PREFIX, Row
from nudge_sync.source.openinference.settings import TraceSettings, compile_expression
from nudge_sync.source.openinference.spans import Opinion, Span

_MAX_EMBEDDINGS = 10_000
"""Texts of earlier spans whose vectors are remembered."""
_MAX_SPANS = 200_000
"""Earlier spans that an opinion may still be about."""
_Remembered = TypeVar("_Remembered")
_GOOD_LABELS = frozenset(
    {"thumbs-up", "thumbs_up", "up", "good", "relevant", "correct", "positive", "yes", "true", "👍"}
)
_BAD_LABELS = frozenset(
    {
        "thumbs-down", "thumbs_down", "down", "bad", "irrelevant", "unrelated", "not_relevant",
        "incorrect", "negative", "no", "false", "👎",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Act:
    """What somebody did, or an opinion said, but for the point that it is on."""

    action: str
    grade: float | None = None
    time: float = 0.0
    client: str = ""


@dataclass(frozen=True, slots=True)
class _Search:
    search_id: str
    shown: tuple[PointId, ...]


@dataclass(frozen=True, slots=True)
class _SpanNote:
    """What an opinion on a span needs to know of it."""

    trace_id: str
    search: _Search | None
    cited: tuple[PointId, ...]


@dataclass
class TraceReader:
    """Turns spans and opinions into rows; remembers what later ones refer to."""

    settings: TraceSettings
    _vectors: OrderedDict[str, NDArray[np.float32]] = field(default_factory=OrderedDict)
    """Text -> vector, as EMBEDDING spans log them."""
    _notes: OrderedDict[str, _SpanNote] = field(default_factory=OrderedDict)
    """Id of a span -> what it is."""
    _answers: OrderedDict[str, _SpanNote] = field(default_factory=OrderedDict)
    """Id of a trace -> the span that an opinion on the whole trace is about."""
    _searches: OrderedDict[str, list[_Search]] = field(default_factory=OrderedDict)
    """Id of a trace -> its searches."""
    _point: Any = field(init=False)
    _cited: Any = field(init=False)

    def __post_init__(self) -> None:
        self._point = compile_expression(self.settings.point)
        self._cited = compile_expression(self.settings.cited) if self.settings.cited else None

    def learn(self, spans: Sequence[Span]) -> None:
        """Remember spans: their vectors, searches and citations.

        All of them are remembered until the next call; of earlier ones, those learnt last.
        """
        self._forget_oldest()
        for span in spans:
            self._learn_vectors(span)
            search = _Search(span.search_id, self._list_shown(span)) if is_search(span) else None
            if search is not None:
                known = self._searches.get(span.trace_id, [])
                new = [] if search in known else [search]
                _remember(self._searches, span.trace_id, known + new)
            note = _SpanNote(span.trace_id, search, self._list_cited(span))
            _remember(self._notes, span.span_id, note)
            self._learn_answer(note)

    def knows_search(self, trace_id: str) -> bool:
        """Return whether a search of this trace was learnt."""
        return trace_id in self._searches

    def has_vector(self, span: Span) -> bool:
        """Return whether the vector of a search was logged by a span that was learnt."""
        return _get_text(span) in self._vectors

    def build_search_rows(self, spans: Sequence[Span]) -> Iterator[Row]:
        """Yield the searches among spans that were learnt, and what their answers cite.

        A search that is forgotten by now comes all the same, without a vector that is too.
        """
        searches = [span for span in spans if is_search(span)]
        yield from map(self._build_search, searches)
        for span in spans:
            note = self._notes.get(span.span_id)
            if note is not None:
                yield from self._build_events(note, _Act("cited", time=span.end))

    def build_opinion_rows(self, opinions: Sequence[Opinion]) -> Iterator[Row]:
        """Yield the events that opinions on learnt spans come to, by those whose opinions count."""
        for opinion in opinions:
            known = self._notes.get(opinion.span_id) if opinion.span_id else None
            note = known or self._answers.get(opinion.trace_id)
            grade = read_grade(opinion)
            if note is None or grade is None or opinion.annotator not in self.settings.annotators:
                continue
            if opinion.document is not None or opinion.point is not None:
                yield from self._build_label(note, opinion, grade)
            elif note.cited:
                yield from self._build_events(note, _build_act("thumb", opinion, grade))
            else:
                yield from self._build_uncited(note, opinion)

    def _forget_oldest(self) -> None:
        for remembered, size in (
            (self._vectors, _MAX_EMBEDDINGS),
            (self._notes, _MAX_SPANS),
            (self._answers, _MAX_SPANS),
            (self._searches, _MAX_SPANS),
        ):
            while len(remembered) > size:
                remembered.popitem(last=False)

    def _learn_vectors(self, span: Span) -> None:
        for entry in _list_entries(span.get("embedding", "embeddings"), "embedding"):
            text, vector = entry.get("text"), entry.get("vector")
            if isinstance(text, str) and isinstance(vector, (list, tuple)) and vector:
                _remember(self._vectors, text, np.asarray(vector, dtype=np.float32))

    def _learn_answer(self, note: _SpanNote) -> None:
        """Note what an opinion on a whole trace is about: the first span that cites, else any."""
        known = self._answers.get(note.trace_id, note)
        is_better = note.cited and not known.cited
        _remember(self._answers, note.trace_id, note if is_better else known)

    def _list_shown(self, span: Span) -> tuple[PointId, ...]:
        """Return the ids of a search's documents, best first; () if one of them has none."""
        documents = _list_entries(span.get("retrieval", "documents"), "document")
        ids = [_read_point_id(self._point.search(document)) for document in documents]
        known = tuple(id_ for id_ in ids if id_ is not None)
        return known if len(known) == len(ids) else ()

    def _list_cited(self, span: Span) -> tuple[PointId, ...]:
        ids = self._cited.search(span.attributes) if self._cited is not None else None
        listed = ids if isinstance(ids, list) else []
        known = (_read_point_id(id_) for id_ in listed)
        return tuple(dict.fromkeys(id_ for id_ in known if id_ is not None))

    def _build_search(self, span: Span) -> Row:
        note = self._notes.get(span.span_id)
        shown = note.search.shown if note and note.search else self._list_shown(span)
        text = _get_text(span)
        row: dict[str, Any] = {
            "type": "search",
            "query_id": span.search_id,
            "text": text,
            "time": span.start,
            "session": span.get("session", "id"),
            "client": span.get("user", "id"),
        }
        if shown:
            row["shown"] = list(shown)
        if text in self._vectors:
            row["query_vector"] = self._vectors[text]
        return {name: value for name, value in row.items() if value is not None}

    def _build_label(self, note: _SpanNote, opinion: Opinion, grade: float) -> Iterator[Row]:
        act = _build_act("relevant", opinion, grade)
        searches = [note.search] if note.search else self._searches.get(note.trace_id, [])[:1]
        for search in searches:
            point = opinion.point
            if point is None and 0 <= (opinion.document or 0) < len(search.shown):
                point = search.shown[opinion.document or 0]
            if point is not None:
                shown_point = _find_shown(search, point)
                yield _build_event(search, point if shown_point is None else shown_point, act)

    def _build_events(self, note: _SpanNote, act: _Act) -> Iterator[Row]:
        """Yield an event on each point that a span cites, on the searches that showed it."""
        for search in self._searches.get(note.trace_id, ()):
            for cited in note.cited:
                point = _find_shown(search, cited)
                if point is not None:
                    yield _build_event(search, point, act)

    def _build_uncited(self, note: _SpanNote, opinion: Opinion) -> Iterator[Row]:
        for search in self._searches.get(note.trace_id, ())[:1]:
            yield {
                "type": "event",
                "query_id": search.search_id,
                "action": "uncited_thumb",
                "time": opinion.time or None,
            }


def _remember(remembered: OrderedDict[str, _Remembered], key: str, value: _Remembered) -> None:
    """Put a value under its key, as the last one to be forgotten."""
    remembered[key] = value
    remembered.move_to_end(key)


def _build_act(action: str, opinion: Opinion, grade: float) -> _Act:
    name = action if opinion.annotator == "HUMAN" else f"{MACHINE_PREFIX}{action}"
    return _Act(name, grade, opinion.time, opinion.client)


def is_search(span: Span) -> bool:
    """Return whether a span is a retriever's."""
    return span.kind == "RETRIEVER"


def read_grade(opinion: Opinion) -> float | None:
    """Return the grade of an opinion: its score, or 1 or 0 by its label; None if neither tells."""
    if opinion.score is not None:
        return opinion.score
    label = opinion.label.strip().casefold()
    if label in _GOOD_LABELS:
        return 1.0
    return 0.0 if label in _BAD_LABELS else None


def _build_event(search: _Search, point: PointId, act: _Act) -> Row:
    row = {
        "type": "event",
        "query_id": search.search_id,
        "action": act.action,
        "point": point,
        "position": search.shown.index(point) + 1 if point in search.shown else None,
        "grade": act.grade,
        "time": act.time or None,
        "client": act.client or None,
    }
    return {name: value for name, value in row.items() if value is not None}


def _get_text(span: Span) -> str:
    text = span.get("input", "value")
    return text if isinstance(text, str) else ""


def _list_entries(entries: Any, name: str) -> list[dict[str, Any]]:
    """Return the objects under `name` in each entry of a list of attributes."""
    if not isinstance(entries, list):
        return []
    inner = [entry.get(name, entry) if isinstance(entry, dict) else {} for entry in entries]
    return [entry if isinstance(entry, dict) else {} for entry in inner]


def _read_point_id(value: Any) -> PointId | None:
    """Return an id as written, whole floats as integers; None for what is no id."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    is_id = isinstance(value, (int, str)) and not isinstance(value, bool) and value != ""
    return value if is_id else None


def _find_shown(search: _Search, point: PointId) -> PointId | None:
    """Return the id that a search showed a point under: 7 and "7" are one; None: not shown."""
    return next((shown for shown in search.shown if str(shown) == str(point)), None)
