"""`feedback import`: searches and events from files into the database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nudge_sync.cli import options
from nudge_sync.cli.errors import describe_failure, summarise_error
from nudge_sync.cli.output import (
    print_line,
    print_notice,
    print_pairs,
    print_result,
    print_table,
    show_progress,
)
from nudge_sync.errors import ConfigError

if TYPE_CHECKING:
    from nudge_sync.feedback.embedding.embedder import Embedder
    from nudge_sync.feedback.embedding.stored_vectors import StoredVectors
    from nudge_sync.feedback.ingest.query_vectors import QueryVectorFiles
    from nudge_sync.feedback.ingest.sources import Source

_SHOWN_DETAILS = 3
"""Details of refused rows that are printed for each reason."""
_MISSING_QUERIES = (
    "--qrels needs --query-vectors and --query-ids; --beir and folders need those, or --embed"
)
_SHOWN_ROWS = 5
"""Rows of a kind whose lines are printed; the rejects file has all."""
_ACTION_NOTES = {"impression": "; what a search showed is read from its own row alone (`shown`)"}
"""What to say beside an action that some logs have instead of what is read."""
FilesArgument = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="FILE...",
        help="Searches and events: JSON lines, CSV, Parquet, and what else is recognised.",
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
        metavar="PROVIDER:MODEL",
        envvar="NUDGE_SYNC_FEEDBACK_EMBED",
        help="What embeds searches without a vector: openai:MODEL, fastembed:MODEL, "
        "sentence-transformers:MODEL, or module:function of yours, looked for in the current "
        "directory first; default: the key `embed` of the file.",
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


OnlySearchesOption = Annotated[
    bool,
    typer.Option(
        "--only-searches",
        envvar="NUDGE_SYNC_FEEDBACK_ONLY_SEARCHES",
        help="The events of these searches come in another import: without any, all is well.",
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
    only_searches: OnlySearchesOption = False,
    strict: StrictOption = False,
    rejects: RejectsOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Store searches and events; bad rows are named and stop nothing.

    Importing the same rows twice changes nothing.
    """
    from nudge_sync.cli.run import open_job
    from nudge_sync.feedback.embedding.providers import open_embedder
    from nudge_sync.feedback.embedding.stored_vectors import StoredVectors
    from nudge_sync.feedback.ingest.importer import Destination, RowsRefused, import_rows
    from nudge_sync.feedback.log.external import open_feedback
    from nudge_sync.settings.embed import parse_embed_name
    from nudge_sync.store.embedding_space import read_space

    query_files = _pair_query_files(query_vectors, query_ids)
    read_as = _name_formats(files or [])
    _check_options(files or [], qrels, beir, query_files)
    named = parse_embed_name(embed, "--embed") if embed is not None else None
    with open_job(config, collection) as job, show_progress() as progress:
        target, settings = job.target, job.settings.feedback
        embed_settings = named or settings.embed
        embedder = open_embedder(embed_settings) if embed_settings is not None else None
        space = read_space(target).number
        sources = _open_sources(
            files or [],
            qrels,
            beir,
            query_files,
            embedder,
            StoredVectors.for_embedder(target.queries, embedder, space, target.facts.dimension),
        )
        searches = open_feedback(target, settings).queries
        destination = Destination(
            target.queries, target.events, target.collection, searches, space=space
        )
        failure = None
        try:
            report = import_rows(
                sources,
                destination,
                strict=strict,
                requires_events=not only_searches,
                actions=settings.actions,
                rejects_path=rejects,
                rejects_beside_sources=True,
                progress=progress,
            )
        except RowsRefused as refused:
            report, failure = refused.report, summarise_error(refused)
    if failure is None and report.problem and (report.events or not only_searches):
        failure = describe_failure("NoFeedback", report.problem, 1)
    stopped = embedder.describe_limit() if embedder is not None and embedder.is_spent else None
    result = report.summary() | {"read_as": read_as, "stopped": stopped}
    result |= {"error": failure} if failure else {}
    print_result(result, as_json, _print_import)
    if stopped:
        print_notice(stopped)
    if failure is not None:
        print_notice(failure["message"])
        raise typer.Exit(failure["exit_code"])


def _name_formats(files: list[Path]) -> dict[str, str]:
    from nudge_sync.feedback.ingest.formats import name_format

    return {str(path): name for path in files if not path.is_dir() and (name := name_format(path))}


def _pair_query_files(vectors: Path | None, ids: Path | None) -> QueryVectorFiles | None:
    from nudge_sync.feedback.ingest.query_vectors import QueryVectorFiles

    if vectors and ids:
        return QueryVectorFiles(vectors, ids)
    if vectors or ids:
        raise ConfigError("--query-vectors and --query-ids go together, also with --qrels, --beir")
    return None


def _check_options(
    files: list[Path],
    qrels_path: Path | None,
    beir_folder: Path | None,
    query_files: QueryVectorFiles | None,
) -> None:
    """Raise ConfigError for options that do not fit together, whatever the configuration says."""
    if not (files or qrels_path or beir_folder):
        raise ConfigError("name a file, or --qrels or --beir with the queries' vectors and ids")
    if qrels_path and beir_folder:
        raise ConfigError("--qrels and --beir do not go together: import one after the other")
    if qrels_path and query_files is None:
        raise ConfigError(_MISSING_QUERIES)


def _open_sources(
    files: list[Path],
    qrels_path: Path | None,
    beir_folder: Path | None,
    query_files: QueryVectorFiles | None,
    embedder: Embedder | None,
    stored: StoredVectors,
) -> list[Source]:
    from nudge_sync.feedback.embedding.rows import embed_source
    from nudge_sync.feedback.ingest.formats import open_source
    from nudge_sync.feedback.ingest.query_vectors import join_query_vectors

    folders = [path for path in files if path.is_dir()]
    label_sources = _open_label_sources(qrels_path, beir_folder, folders, query_files, embedder)
    sources = [open_source(path) for path in files if path not in folders]
    if query_files is not None and sources and not label_sources:
        sources = [join_query_vectors(sources, query_files, keep_unmatched=embedder is not None)]
    sources += label_sources
    return [embed_source(source, embedder, stored) for source in sources]


def _open_label_sources(
    qrels_path: Path | None,
    beir_folder: Path | None,
    folders: list[Path],
    query_files: QueryVectorFiles | None,
    embedder: Embedder | None,
) -> list[Source]:
    from nudge_sync.feedback.ingest.qrels import open_beir, open_beir_texts, open_qrels
    from nudge_sync.feedback.ingest.readers.folders import find_qrels_files

    for folder in folders:
        find_qrels_files(folder)
    if beir_folder:
        folders = [*folders, beir_folder]
    if query_files is None and folders and embedder is None:
        raise ConfigError(_MISSING_QUERIES)
    sources = [open_qrels(qrels_path, query_files)] if qrels_path and query_files else []
    return sources + [
        open_beir(folder, query_files) if query_files else open_beir_texts(folder)
        for folder in folders
    ]


def _print_import(result: dict[str, Any]) -> None:
    counts = ("accepted", "unchanged", "searches", "events", "without_search", "rejected")
    print_pairs("", {name: result[name] for name in counts})
    if result["reasons"]:
        rows = [
            (
                reason,
                count,
                "; ".join(filter(None, list(result["details"][reason])[:_SHOWN_DETAILS])),
                _format_lines(result["lines"].get(reason, []), count),
            )
            for reason, count in result["reasons"].items()
        ]
        print_table("\nrefused", ("reason", "rows", "such as", "lines"), rows)
    for line in _describe_import(result):
        print_line(line)


def _format_lines(places: Sequence[str], count: int) -> str:
    """Return the first of `count` rows, each `file:line`, with the file named once."""
    lines_by_file: dict[str, list[str]] = {}
    for place in places[:_SHOWN_ROWS]:
        path, _, line = place.rpartition(":")
        lines_by_file.setdefault(path, []).append(line)
    text = "; ".join(f"{path}:{', '.join(lines)}" for path, lines in lines_by_file.items())
    more = count - min(len(places), _SHOWN_ROWS)
    return f"{text} and {more} more" if more > 0 else text


def _describe_import(result: dict[str, Any]) -> list[str]:
    from nudge_sync.feedback.ingest.report import DOUBTS

    lines = [f"{path} was read as {name}" for path, name in result["read_as"].items()]
    lines += [
        f"{path}: its positions count from 0, and were stored counted from 1"
        for path in result["zero_based"]
    ]
    lines += [
        f"{count} rows were left out: {reason}" for reason, count in result["left_out"].items()
    ]
    lines += [
        f'{count} events are "{action}", which has no weight in [feedback.actions]'
        f"{_ACTION_NOTES.get(action, '')}"
        for action, count in result["unweighted_actions"].items()
    ]
    for name, doubt in DOUBTS.items():
        if result[name]:
            places = _format_lines(result["doubtful_lines"].get(name, []), result[name])
            lines.append(f"{result[name]} {doubt}: {places}")
    return lines + [f"refused rows are in {path}" for path in result["rejects_files"]]
