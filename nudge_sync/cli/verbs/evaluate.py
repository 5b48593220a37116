"""`evaluate`: what moving documents gains, by method, and how sure that is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from nudge_sync.base.progress import Progress
from nudge_sync.cli import evaluate_options as own
from nudge_sync.cli import options
from nudge_sync.cli.output import print_result, print_table, show_progress
from nudge_sync.errors import ConfigError

if TYPE_CHECKING:
    from nudge_sync.evaluate.study import StudySettings
    from nudge_sync.evaluate.task import EvaluationTask

ChoiceName = TypeVar("ChoiceName", bound=str)


def evaluate(
    directory: own.DirectoryArgument = None,
    documents: own.DocumentsOption = None,
    document_ids: own.DocumentIdsOption = None,
    queries: own.QueriesOption = None,
    query_ids: own.QueryIdsOption = None,
    qrels: own.QrelsOption = None,
    dataset: own.DatasetOption = None,
    model: own.ModelOption = "BAAI/bge-small-en-v1.5",
    cache: own.CacheOption = None,
    similarity: own.SimilarityOption = None,
    method: own.MethodsOption = None,
    protocol: own.ProtocolsOption = None,
    seeds: own.SeedsOption = 5,
    metric: own.MetricOption = None,
    resamples: own.ResamplesOption = 10_000,
    confidence: own.ConfidenceOption = 0.95,
    threads: own.ThreadsOption = 0,
    html: own.HtmlOption = None,
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    exact: options.ExactOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Compare methods on queries that nothing was chosen by; write nothing to any database."""
    from nudge_sync.base.threads import limit_threads
    from nudge_sync.cli import evaluate_sources as sources
    from nudge_sync.evaluate import methods, report, study
    from nudge_sync.evaluate import protocol as protocols
    from nudge_sync.evaluate.task import SIMILARITIES
    from nudge_sync.metrics import METRIC_NAMES

    if html is not None:
        report.require_writable(html)
    chosen_similarity = parse_choice(similarity, SIMILARITIES)
    chosen_metric = parse_choice(metric, METRIC_NAMES)
    chosen_methods = parse_choices(method or list(methods.DEFAULT_METHODS), methods.METHODS)
    chosen_protocols = parse_choices(
        protocol or list(protocols.DEFAULT_PROTOCOLS), protocols.PROTOCOLS
    )
    source = sources.choose_source(
        sources.FileSource(directory, documents, document_ids, queries, query_ids, qrels),
        sources.DatasetSource(dataset, model, cache) if dataset is not None else None,
        sources.CollectionSource(config, collection, exact),
    )
    with show_progress() as progress, limit_threads(threads):
        task, default_metric = source.load_task(chosen_similarity, progress)
        settings = study.StudySettings(
            methods=chosen_methods,
            protocols=chosen_protocols,
            seeds=tuple(range(seeds)),
            metric=chosen_metric or default_metric,
            confidence=confidence,
            resamples=resamples,
        )
        result = _run_evaluation(task, settings, html, progress)
    print_result(result, as_json, lambda shown: _print_evaluation(shown, html))


def parse_choice(value: str | None, choices: tuple[ChoiceName, ...]) -> ChoiceName | None:
    """Return `value` as one of `choices`, or None for None. Raises ConfigError."""
    if value is None:
        return None
    for choice in choices:
        if value == choice:
            return choice
    raise ConfigError(f"{value!r} is not one of: {', '.join(choices)}")


def parse_choices(
    values: list[str] | None, choices: tuple[ChoiceName, ...]
) -> tuple[ChoiceName, ...]:
    """Return the named choices, each once and in the order of `choices`; all if none is named.

    Raises ConfigError for a name that is not among them.
    """
    selected = {parse_choice(name, choices) for name in values or choices}
    return tuple(name for name in choices if name in selected)


def _run_evaluation(
    task: EvaluationTask, settings: StudySettings, html: Path | None, progress: Progress
) -> dict[str, Any]:
    from nudge_sync.evaluate import evidence, outcome, report, study, summary

    task, settings = study.restrict_settings(task, settings)
    completed_study = study.run_study(task, settings, progress)
    lines = summary.summarise_study(completed_study)
    bins = evidence.measure_gain_by_judgements(completed_study)
    curves = evidence.measure_gain_by_angle(completed_study, progress) if html is not None else []
    if html is not None:
        report.write_report(html, completed_study, lines, bins, curves)
    return outcome.study_to_dict(completed_study, lines, bins, curves)


def _print_evaluation(result: dict[str, Any], html: Path | None) -> None:
    from nudge_sync.evaluate import outcome

    typer.echo(
        f"{result['name']}: {result['documents']:,} documents, {result['queries']:,} queries, "
        f"{result['judgements']:,} judgements on {result['judged_documents']:,} documents"
    )
    for note in result["notes"]:
        typer.echo(f"note: {note}")
    for title, columns, rows in outcome.build_tables(result):
        typer.echo()
        print_table(title, columns, rows)
    typer.echo()
    typer.echo(outcome.format_footnote(result))
    if html is not None:
        typer.echo(f"report: {html}")
