"""`feedback` and `forget`: what people found, into the database, counted, explained, removed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nudge_sync.cli import options
from nudge_sync.cli.main import Verbs, complain
from nudge_sync.cli.output import confirm, emit, pairs, progress, say, table
from nudge_sync.errors import ConfigError, InputError

if TYPE_CHECKING:
    from nudge_sync.cli.run import Job

app = typer.Typer(cls=Verbs, no_args_is_help=True, help="What people found: import it, count it.")

Files = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="FILE...",
        help="Searches and events: JSON lines, or .csv, .tsv, .parquet.",
        show_default=False,
    ),
]
Qrels = Annotated[
    Path | None,
    typer.Option(
        envvar="NUDGE_SYNC_FEEDBACK_QRELS",
        help="TREC qrels: query id, 0, document id, grade. Needs --query-vectors and --query-ids.",
    ),
]
Beir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        envvar="NUDGE_SYNC_FEEDBACK_BEIR",
        help="A BEIR folder: its qrels/*.tsv. Needs --query-vectors and --query-ids, or --embed.",
    ),
]
QueryVectors = Annotated[
    Path | None,
    typer.Option(
        envvar="NUDGE_SYNC_FEEDBACK_QUERY_VECTORS",
        help="A .npy file, one row a query; for searches in FILE that have no vector, too.",
    ),
]
QueryIds = Annotated[
    Path | None,
    typer.Option(
        envvar="NUDGE_SYNC_FEEDBACK_QUERY_IDS", help="The queries' ids, one a line, in row order."
    ),
]
Embed = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:FUNCTION",
        envvar="NUDGE_SYNC_FEEDBACK_EMBED",
        help="Your function from a list of texts to an array (n, d), for searches without a "
        "vector; the current directory is looked in first.",
        show_default=False,
    ),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        envvar="NUDGE_SYNC_FEEDBACK_STRICT",
        help="Store nothing if there is one bad row.",
    ),
]
RejectsFile = Annotated[
    Path | None,
    typer.Option(
        "--rejects",
        envvar="NUDGE_SYNC_FEEDBACK_REJECTS",
        help="Where bad rows go, with reason and line; default: FILE.rejects.jsonl.",
    ),
]


@app.command("import")
def import_(
    files: Files = None,
    config: options.Config = options.CONFIG,
    collection: options.Collection = None,
    qrels: Qrels = None,
    beir: Beir = None,
    query_vectors: QueryVectors = None,
    query_ids: QueryIds = None,
    embed: Embed = None,
    strict: Strict = False,
    rejects: RejectsFile = None,
    as_json: options.Json = False,
) -> None:
    """Store searches and events; bad rows are named and stop nothing. Twice is as once."""
    from nudge_sync.feedback.ingest.importer import Destination, RowsRefused, import_rows
    from nudge_sync.feedback.log.external import open_feedback

    sources = _sources(files or [], qrels, beir, _pair(query_vectors, query_ids), embed)
    folder = beir / "qrels" if beir else None
    first = next(path for path in (*(files or []), qrels, folder) if path is not None)
    rejects = rejects or _rejects_of(first)

    def work(job: Job) -> dict[str, Any]:
        target = job.target
        searches = open_feedback(target, job.settings.feedback).queries
        place = Destination(target.queries, target.events, target.collection, searches)
        with progress() as report:
            try:
                done = import_rows(
                    sources, place, strict=strict, rejects_path=rejects, progress=report
                )
            except RowsRefused as refused:
                emit(refused.report.summary() | {"error": str(refused)}, as_json, _draw_import)
                raise
        return done.summary()

    emit(_one(config, collection, work), as_json, _draw_import)


@app.command("stats")
def stats(
    config: options.Config = options.CONFIG,
    collection: options.Collection = None,
    as_json: options.Json = False,
) -> None:
    """What is stored, and what of it turns into judgements."""
    from nudge_sync.feedback.log.external import open_feedback
    from nudge_sync.feedback.stats import count_feedback as count

    def work(job: Job) -> dict[str, Any]:
        target, settings = job.target, job.settings.feedback
        found = open_feedback(target, settings)
        with progress() as said:
            return count(found.queries, found.events, target.collection, settings, said).summary()

    emit(_one(config, collection, work), as_json, _draw_stats)


Point = Annotated[
    str,
    typer.Option("--point", envvar="NUDGE_SYNC_FEEDBACK_POINT", help="The point's id."),
]
Client = Annotated[
    str, typer.Option(envvar="NUDGE_SYNC_FEEDBACK_CLIENT", help="Everything of this client.")
]
Session = Annotated[
    str, typer.Option(envvar="NUDGE_SYNC_FEEDBACK_SESSION", help="Everything of this session.")
]
Query = Annotated[
    str, typer.Option(envvar="NUDGE_SYNC_FEEDBACK_QUERY", help="This search and all its events.")
]

Before = Annotated[
    str,
    typer.Option(
        metavar="DAY",
        envvar="NUDGE_SYNC_FEEDBACK_BEFORE",
        help="Everything dated before this day, such as 2026-05-01 (UTC).",
    ),
]


@app.command("judgements")
def judgements(
    point: Point,
    config: options.Config = options.CONFIG,
    collection: options.Collection = None,
    as_json: options.Json = False,
) -> None:
    """Why a point is judged as it is: every query that says something of it."""
    from nudge_sync.feedback.explain import explain_judgements
    from nudge_sync.feedback.log.external import open_feedback
    from nudge_sync.feedback.log.load import load_log
    from nudge_sync.feedback.schema.point_ids import PointIdResolver

    def work(job: Job) -> dict[str, Any]:
        target, settings = job.target, job.settings.feedback
        ids = PointIdResolver(target.collection)
        ids.look_up([point])
        known = ids.get(point)
        if known is None:
            raise InputError(f"there is no point {point!r} in {target.name!r}")
        dimension = target.facts.dimension
        logged = open_feedback(target, settings)
        with progress() as said:
            log = load_log(logged.queries, logged.events, settings, dimension, said)
        found = [reason.summary() for reason in explain_judgements(log, settings, known)]
        return {"collection": target.name, "point": known, "judgements": found}

    emit(_one(config, collection, work), as_json, _draw_judgements)


@app.command("export")
def export(
    config: options.Config = options.CONFIG,
    collection: options.Collection = None,
    client: Client = "",
    session: Session = "",
    query: Query = "",
    before: Before = "",
) -> None:
    """Print everything held on a client, session or query, or of old times, as JSON lines."""
    from nudge_sync.feedback.erase import FeedbackSelector, export_rows
    from nudge_sync.feedback.log.external import open_feedback

    whom = FeedbackSelector(client, session, query, before)

    def work(job: Job) -> None:
        everything = open_feedback(job.target, job.settings.feedback)
        asked = whom.find_query_ids(everything)
        for row in export_rows(job.target.queries, job.target.events, whom, asked):
            typer.echo(json.dumps(row))
        more = everything.count_external(whom.to_filter(), asked)
        for name, count in more.items():
            complain(f'"{name}" holds {count} more, in your application\'s own log: look there')

    _one(config, collection, work)


def forget(
    config: options.Config = options.CONFIG,
    collection: options.Collection = None,
    client: Client = "",
    session: Session = "",
    query: Query = "",
    before: Before = "",
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Remove the feedback of a client, session, query or old time; the next cycle undoes it."""
    from nudge_sync.feedback.erase import FeedbackSelector
    from nudge_sync.feedback.erase import erase_feedback as remove
    from nudge_sync.feedback.log.external import open_feedback

    whom = FeedbackSelector(client, session, query, before)
    whom.to_filter()

    def work(job: Job) -> dict[str, Any]:
        confirm(f"Remove this feedback on {job.target.name!r} for good?", yes)
        everything = open_feedback(job.target, job.settings.feedback)
        asked = whom.find_query_ids(everything)
        left = everything.count_external(whom.to_filter(), asked)
        done = remove(job.target, whom, asked)
        return {"collection": job.target.name, **done.summary(), "left": left}

    result = _one(config, collection, work)
    emit(result, as_json, lambda result: pairs("", result))
    for name, count in result["left"].items():
        complain(
            f'"{name}" still holds {count}: that log is your application\'s, and nudge-sync only '
            "reads it. Delete them there, or the next cycle learns from them again"
        )
    if result["left"]:
        raise typer.Exit(1)


def _draw_judgements(result: dict[str, Any]) -> None:
    columns = (
        "query_id",
        "source",
        "weight",
        "belief",
        "people",
        "shown",
        "clicked",
        "place",
        "why",
    )
    rows = [[entry[name] for name in columns] for entry in result["judgements"]]
    table(f"point {result['point']}", columns, rows)


def _sources(
    files: list[Path],
    judgements: Path | None,
    folder: Path | None,
    vectors: tuple[Path, Path] | None,
    embed: str | None,
) -> list[Any]:
    from nudge_sync.feedback.ingest.embedding import Embedder, embed_source
    from nudge_sync.feedback.ingest.formats import join_query_vectors, open_source

    labels = _labels(judgements, folder, vectors, embed)
    if not (files or labels):
        raise ConfigError("name a file, or --qrels or --beir with the queries' vectors and ids")
    if labels or vectors is None:
        found = [*map(open_source, files), *labels]
    else:
        found = [join_query_vectors(files, *vectors, keep_unmatched=embed is not None)]
    if embed is None:
        return found
    embedding = Embedder.from_name(embed)
    return [embed_source(source, embedding) for source in found]


def _labels(
    judgements: Path | None,
    folder: Path | None,
    vectors: tuple[Path, Path] | None,
    embed: str | None,
) -> list[Any]:
    from nudge_sync.feedback.ingest.sources import open_beir, open_beir_texts, open_qrels

    if judgements and folder:
        raise ConfigError("--qrels and --beir do not go together: import one after the other")
    if vectors is None and (judgements or (folder and embed is None)):
        raise ConfigError("--qrels needs --query-vectors and --query-ids; --beir them, or --embed")
    if judgements and vectors:
        return [open_qrels(judgements, *vectors)]
    if folder:
        return [open_beir(folder, *vectors) if vectors else open_beir_texts(folder)]
    return []


def _rejects_of(path: Path) -> Path:
    """Beside the file; of a pipe, beside which often nothing can be written, right here."""
    from nudge_sync.feedback.ingest.sources import is_pipe

    folder = Path() if is_pipe(path) else path.parent
    return folder / f"{path.name}.rejects.jsonl"


def _pair(vectors: Path | None, ids: Path | None) -> tuple[Path, Path] | None:
    if vectors and ids:
        return vectors, ids
    if vectors or ids:
        raise ConfigError("--query-vectors and --query-ids go together, also with --qrels, --beir")
    return None


def _one(config: Path, collection: str | None, work: Any) -> Any:
    from nudge_sync.cli.run import each

    return each(config, collection, False, work)[0]


def _draw_import(result: dict[str, Any]) -> None:
    counts = ("accepted", "unchanged", "searches", "events", "without_search", "rejected")
    pairs("", {name: result[name] for name in counts})
    if result["reasons"]:
        rows = [
            (reason, count, ", ".join(result["lines"].get(reason, [])))
            for reason, count in result["reasons"].items()
        ]
        table("\nrefused", ("reason", "rows", "lines"), rows)
    if result["rejects_file"]:
        say(f"refused rows are in {result['rejects_file']}")


def _draw_stats(result: dict[str, Any]) -> None:
    from nudge_sync.feedback.coverage import Coverage

    pairs("", {name: value for name, value in result.items() if name != "funnel"})
    stages = [tuple(stage.values()) for stage in result["funnel"]]
    table("\nfrom events to judgements", ("stage", "kept", "removed", "removed because"), stages)
    typer.echo()
    say(str(Coverage(result["judged"], result["points"])))
