"""`feedback` and `forget`: what people found, into the database, counted, explained, removed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nudge_sync.cli import options
from nudge_sync.cli.main import VerbGroup, print_error
from nudge_sync.cli.output import (
    confirm,
    print_line,
    print_pairs,
    print_result,
    print_table,
    show_progress,
)
from nudge_sync.errors import ConfigError, InputError

if TYPE_CHECKING:
    from nudge_sync.cli.run import Job

app = typer.Typer(
    cls=VerbGroup, no_args_is_help=True, help="What people found: import it, count it."
)

FeedbackFilesArgument = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="FILE...",
        help="Searches and events: JSON lines, or .csv, .tsv, .parquet.",
        show_default=False,
    ),
]
ImportQrelsOption = Annotated[
    Path | None,
    typer.Option(
        envvar="NUDGE_SYNC_FEEDBACK_QRELS",
        help="TREC qrels: query id, 0, document id, grade. Needs --query-vectors and --query-ids.",
    ),
]
BeirOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        envvar="NUDGE_SYNC_FEEDBACK_BEIR",
        help="A BEIR folder: its qrels/*.tsv. Needs --query-vectors and --query-ids, or --embed.",
    ),
]
QueryVectorsOption = Annotated[
    Path | None,
    typer.Option(
        envvar="NUDGE_SYNC_FEEDBACK_QUERY_VECTORS",
        help="A .npy file, one row a query; for searches in FILE that have no vector, too.",
    ),
]
ImportQueryIdsOption = Annotated[
    Path | None,
    typer.Option(
        envvar="NUDGE_SYNC_FEEDBACK_QUERY_IDS", help="The queries' ids, one a line, in row order."
    ),
]
EmbedOption = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:FUNCTION",
        envvar="NUDGE_SYNC_FEEDBACK_EMBED",
        help="Your function from a list of texts to an array (n, d), for searches without a "
        "vector; the current directory is looked in first.",
        show_default=False,
    ),
]
StrictOption = Annotated[
    bool,
    typer.Option(
        "--strict",
        envvar="NUDGE_SYNC_FEEDBACK_STRICT",
        help="Store nothing if there is one bad row.",
    ),
]
RejectsOption = Annotated[
    Path | None,
    typer.Option(
        "--rejects",
        envvar="NUDGE_SYNC_FEEDBACK_REJECTS",
        help="Where bad rows go, with reason and line; default: FILE.rejects.jsonl.",
    ),
]


@app.command("import")
def import_(
    files: FeedbackFilesArgument = None,
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    qrels: ImportQrelsOption = None,
    beir: BeirOption = None,
    query_vectors: QueryVectorsOption = None,
    query_ids: ImportQueryIdsOption = None,
    embed: EmbedOption = None,
    strict: StrictOption = False,
    rejects: RejectsOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Store searches and events; bad rows are named and stop nothing. Twice is as once."""
    from nudge_sync.feedback.ingest.importer import Destination, RowsRefused, import_rows
    from nudge_sync.feedback.log.external import open_feedback

    sources = _open_sources(
        files or [], qrels, beir, _pair_query_paths(query_vectors, query_ids), embed
    )
    qrels_folder = beir / "qrels" if beir else None
    first_path = next(path for path in (*(files or []), qrels, qrels_folder) if path is not None)
    rejects = rejects or _choose_rejects_path(first_path)

    def work(job: Job) -> dict[str, Any]:
        target = job.target
        searches = open_feedback(target, job.settings.feedback).queries
        destination = Destination(target.queries, target.events, target.collection, searches)
        with show_progress() as progress:
            try:
                import_report = import_rows(
                    sources, destination, strict=strict, rejects_path=rejects, progress=progress
                )
            except RowsRefused as refused:
                print_result(
                    refused.report.summary() | {"error": str(refused)}, as_json, _print_import
                )
                raise
        return import_report.summary()

    print_result(_run_on_one_collection(config, collection, work), as_json, _print_import)


@app.command("stats")
def stats(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """What is stored, and what of it turns into judgements."""
    from nudge_sync.feedback.log.external import open_feedback
    from nudge_sync.feedback.stats import count_feedback as count

    def work(job: Job) -> dict[str, Any]:
        target, settings = job.target, job.settings.feedback
        feedback = open_feedback(target, settings)
        with show_progress() as progress:
            return count(
                feedback.queries, feedback.events, target.collection, settings, progress
            ).summary()

    print_result(_run_on_one_collection(config, collection, work), as_json, _print_stats)


PointOption = Annotated[
    str,
    typer.Option("--point", envvar="NUDGE_SYNC_FEEDBACK_POINT", help="The point's id."),
]
ClientOption = Annotated[
    str, typer.Option(envvar="NUDGE_SYNC_FEEDBACK_CLIENT", help="Everything of this client.")
]
SessionOption = Annotated[
    str, typer.Option(envvar="NUDGE_SYNC_FEEDBACK_SESSION", help="Everything of this session.")
]
QueryOption = Annotated[
    str, typer.Option(envvar="NUDGE_SYNC_FEEDBACK_QUERY", help="This search and all its events.")
]

BeforeOption = Annotated[
    str,
    typer.Option(
        metavar="DAY",
        envvar="NUDGE_SYNC_FEEDBACK_BEFORE",
        help="Everything dated before this day, such as 2026-05-01 (UTC).",
    ),
]


@app.command("judgements")
def judgements(
    point: PointOption,
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Why a point is judged as it is: every query that says something of it."""
    from nudge_sync.feedback.explain import explain_judgements
    from nudge_sync.feedback.log.external import open_feedback
    from nudge_sync.feedback.log.load import load_log
    from nudge_sync.feedback.schema.point_ids import PointIdResolver

    def work(job: Job) -> dict[str, Any]:
        target, settings = job.target, job.settings.feedback
        point_ids = PointIdResolver(target.collection)
        point_ids.look_up([point])
        point_id = point_ids.get(point)
        if point_id is None:
            raise InputError(f"there is no point {point!r} in {target.name!r}")
        dimension = target.facts.dimension
        feedback = open_feedback(target, settings)
        with show_progress() as progress:
            log = load_log(feedback.queries, feedback.events, settings, dimension, progress)
        summaries = [reason.summary() for reason in explain_judgements(log, settings, point_id)]
        return {"collection": target.name, "point": point_id, "judgements": summaries}

    print_result(_run_on_one_collection(config, collection, work), as_json, _print_judgements)


@app.command("export")
def export(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    client: ClientOption = "",
    session: SessionOption = "",
    query: QueryOption = "",
    before: BeforeOption = "",
) -> None:
    """Print everything held on a client, session or query, or of old times, as JSON lines."""
    from nudge_sync.feedback.erase import FeedbackSelector, export_rows
    from nudge_sync.feedback.log.external import open_feedback

    selection = FeedbackSelector(client, session, query, before)

    def work(job: Job) -> None:
        feedback = open_feedback(job.target, job.settings.feedback)
        query_ids = selection.find_query_ids(feedback)
        for row in export_rows(job.target.queries, job.target.events, selection, query_ids):
            typer.echo(json.dumps(row))
        external_counts = feedback.count_external(selection.to_filter(), query_ids)
        for name, count in external_counts.items():
            print_error(f'"{name}" holds {count} more, in your application\'s own log: look there')

    _run_on_one_collection(config, collection, work)


def forget(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    client: ClientOption = "",
    session: SessionOption = "",
    query: QueryOption = "",
    before: BeforeOption = "",
    yes: options.YesOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Remove the feedback of a client, session, query or old time; the next cycle undoes it."""
    from nudge_sync.feedback.erase import FeedbackSelector
    from nudge_sync.feedback.erase import erase_feedback as remove
    from nudge_sync.feedback.log.external import open_feedback

    selection = FeedbackSelector(client, session, query, before)
    selection.to_filter()

    def work(job: Job) -> dict[str, Any]:
        confirm(f"Remove this feedback on {job.target.name!r} for good?", yes)
        feedback = open_feedback(job.target, job.settings.feedback)
        query_ids = selection.find_query_ids(feedback)
        external_counts = feedback.count_external(selection.to_filter(), query_ids)
        removal = remove(job.target, selection, query_ids)
        return {"collection": job.target.name, **removal.summary(), "left": external_counts}

    result = _run_on_one_collection(config, collection, work)
    print_result(result, as_json, lambda result: print_pairs("", result))
    for name, count in result["left"].items():
        print_error(
            f'"{name}" still holds {count}: that log is your application\'s, and nudge-sync only '
            "reads it. Delete them there, or the next cycle learns from them again"
        )
    if result["left"]:
        raise typer.Exit(1)


def _print_judgements(result: dict[str, Any]) -> None:
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
    print_table(f"point {result['point']}", columns, rows)


def _open_sources(
    files: list[Path],
    qrels_path: Path | None,
    beir_folder: Path | None,
    query_paths: tuple[Path, Path] | None,
    embed: str | None,
) -> list[Any]:
    from nudge_sync.feedback.ingest.embedding import Embedder, embed_source
    from nudge_sync.feedback.ingest.formats import open_source
    from nudge_sync.feedback.ingest.query_vectors import QueryVectorFiles, join_query_vectors

    label_sources = _open_label_sources(qrels_path, beir_folder, query_paths, embed)
    if not (files or label_sources):
        raise ConfigError("name a file, or --qrels or --beir with the queries' vectors and ids")
    if label_sources or query_paths is None:
        sources = [*map(open_source, files), *label_sources]
    else:
        query_files = QueryVectorFiles(*query_paths)
        sources = [join_query_vectors(files, query_files, keep_unmatched=embed is not None)]
    if embed is None:
        return sources
    embedding = Embedder.from_name(embed)
    return [embed_source(source, embedding) for source in sources]


def _open_label_sources(
    qrels_path: Path | None,
    beir_folder: Path | None,
    query_paths: tuple[Path, Path] | None,
    embed: str | None,
) -> list[Any]:
    from nudge_sync.feedback.ingest.qrels import open_beir, open_beir_texts, open_qrels
    from nudge_sync.feedback.ingest.query_vectors import QueryVectorFiles

    if qrels_path and beir_folder:
        raise ConfigError("--qrels and --beir do not go together: import one after the other")
    if query_paths is None and (qrels_path or (beir_folder and embed is None)):
        raise ConfigError("--qrels needs --query-vectors and --query-ids; --beir them, or --embed")
    if qrels_path and query_paths:
        return [open_qrels(qrels_path, QueryVectorFiles(*query_paths))]
    if beir_folder:
        if query_paths is None:
            return [open_beir_texts(beir_folder)]
        return [open_beir(beir_folder, QueryVectorFiles(*query_paths))]
    return []


def _choose_rejects_path(path: Path) -> Path:
    """Beside the file; of a pipe, beside which often nothing can be written, right here."""
    from nudge_sync.feedback.ingest.text_files import is_pipe

    folder = Path() if is_pipe(path) else path.parent
    return folder / f"{path.name}.rejects.jsonl"


def _pair_query_paths(vectors: Path | None, ids: Path | None) -> tuple[Path, Path] | None:
    if vectors and ids:
        return vectors, ids
    if vectors or ids:
        raise ConfigError("--query-vectors and --query-ids go together, also with --qrels, --beir")
    return None


def _run_on_one_collection(config: Path, collection: str | None, work: Any) -> Any:
    from nudge_sync.cli.run import run_on_collections

    return run_on_collections(config, collection, False, work)[0]


def _print_import(result: dict[str, Any]) -> None:
    counts = ("accepted", "unchanged", "searches", "events", "without_search", "rejected")
    print_pairs("", {name: result[name] for name in counts})
    if result["reasons"]:
        rows = [
            (reason, count, ", ".join(result["lines"].get(reason, [])))
            for reason, count in result["reasons"].items()
        ]
        print_table("\nrefused", ("reason", "rows", "lines"), rows)
    if result["rejects_file"]:
        print_line(f"refused rows are in {result['rejects_file']}")


def _print_stats(result: dict[str, Any]) -> None:
    from nudge_sync.feedback.coverage import Coverage

    print_pairs("", {name: value for name, value in result.items() if name != "funnel"})
    stages = [tuple(stage.values()) for stage in result["funnel"]]
    print_table(
        "\nfrom events to judgements", ("stage", "kept", "removed", "removed because"), stages
    )
    typer.echo()
    print_line(str(Coverage(result["judged"], result["points"])))
