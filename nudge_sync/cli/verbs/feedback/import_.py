"""`feedback import`: searches and events from files into the database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nudge_sync.cli import options
from nudge_sync.cli.output import print_line, print_pairs, print_result, print_table, show_progress
from nudge_sync.errors import ConfigError

if TYPE_CHECKING:
    from nudge_sync.feedback.ingest.query_vectors import QueryVectorFiles
    from nudge_sync.feedback.ingest.sources import Source

FilesArgument = Annotated[
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


def import_(
    files: FilesArgument = None,
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
    """Store searches and events; bad rows are named and stop nothing.

    Importing the same rows twice changes nothing.
    """
    from nudge_sync.cli.run import open_job
    from nudge_sync.feedback.ingest.importer import Destination, RowsRefused, import_rows
    from nudge_sync.feedback.log.external import open_feedback

    query_files = _pair_query_files(query_vectors, query_ids)
    sources = _open_sources(files or [], qrels, beir, query_files, embed)
    rejects_path = rejects or _choose_rejects_path(files or [], qrels, beir)
    with open_job(config, collection) as job, show_progress() as progress:
        target = job.target
        searches = open_feedback(target, job.settings.feedback).queries
        destination = Destination(target.queries, target.events, target.collection, searches)
        try:
            report = import_rows(
                sources, destination, strict=strict, rejects_path=rejects_path, progress=progress
            )
        except RowsRefused as refused:
            result = refused.report.summary() | {"error": str(refused)}
            print_result(result, as_json, _print_import)
            raise
    print_result(report.summary(), as_json, _print_import)


def _pair_query_files(vectors: Path | None, ids: Path | None) -> QueryVectorFiles | None:
    from nudge_sync.feedback.ingest.query_vectors import QueryVectorFiles

    if vectors and ids:
        return QueryVectorFiles(vectors, ids)
    if vectors or ids:
        raise ConfigError("--query-vectors and --query-ids go together, also with --qrels, --beir")
    return None


def _open_sources(
    files: list[Path],
    qrels_path: Path | None,
    beir_folder: Path | None,
    query_files: QueryVectorFiles | None,
    embed: str | None,
) -> list[Source]:
    from nudge_sync.feedback.ingest.embedding import Embedder, embed_source
    from nudge_sync.feedback.ingest.formats import open_source
    from nudge_sync.feedback.ingest.query_vectors import join_query_vectors

    label_sources = _open_label_sources(qrels_path, beir_folder, query_files, embed)
    if not (files or label_sources):
        raise ConfigError("name a file, or --qrels or --beir with the queries' vectors and ids")
    if label_sources or query_files is None:
        sources = [*map(open_source, files), *label_sources]
    else:
        sources = [join_query_vectors(files, query_files, keep_unmatched=embed is not None)]
    if embed is None:
        return sources
    embedder = Embedder.from_name(embed)
    return [embed_source(source, embedder) for source in sources]


def _open_label_sources(
    qrels_path: Path | None,
    beir_folder: Path | None,
    query_files: QueryVectorFiles | None,
    embed: str | None,
) -> list[Source]:
    from nudge_sync.feedback.ingest.qrels import open_beir, open_beir_texts, open_qrels

    if qrels_path and beir_folder:
        raise ConfigError("--qrels and --beir do not go together: import one after the other")
    if query_files is None and (qrels_path or (beir_folder and embed is None)):
        raise ConfigError("--qrels needs --query-vectors and --query-ids; --beir them, or --embed")
    if qrels_path and query_files:
        return [open_qrels(qrels_path, query_files)]
    if beir_folder:
        return [
            open_beir(beir_folder, query_files) if query_files else open_beir_texts(beir_folder)
        ]
    return []


def _choose_rejects_path(files: list[Path], qrels: Path | None, beir: Path | None) -> Path:
    """Return FILE.rejects.jsonl beside the first file that is read.

    Beside a pipe there is often nowhere to write, so that of a pipe goes to the current directory.
    """
    from nudge_sync.feedback.ingest.text_files import is_pipe

    candidates = [*files, qrels, beir / "qrels" if beir else None]
    first_path = next(path for path in candidates if path is not None)
    folder = Path() if is_pipe(first_path) else first_path.parent
    return folder / f"{first_path.name}.rejects.jsonl"


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
