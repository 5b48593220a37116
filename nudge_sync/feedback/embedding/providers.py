"""Who embeds the texts of queries: an endpoint, a local model, or code of the application.

Many models embed queries otherwise than documents; what is asked for here is the query's side.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from nudge_sync.errors import ConfigError, InputError
from nudge_sync.feedback.embedding.embedder import Embedder, EmbeddingFunction
from nudge_sync.settings.embed import EmbedSettings

_KEPT_MODELS = 2
"""Local models that a process keeps loaded between cycles."""


def open_embedder(settings: EmbedSettings) -> Embedder:
    """Return an embedder that calls what the settings name.

    Raises ConfigError where a module, a package or a key file is not there, and InputError for a
    model that is not known.
    """
    return Embedder(
        settings.identity,
        _add_prefix(_find_function(settings), settings.prefix),
        names_model=settings.names_model,
        batch_size=settings.batch_size,
        max_texts=settings.max_texts,
    )


def _find_function(settings: EmbedSettings) -> EmbeddingFunction:
    match settings.provider:
        case "openai":
            # httpx is an extra.
            try:
                from nudge_sync.feedback.embedding.endpoint import open_endpoint  # noqa: PLC0415
            except ImportError as error:
                raise _describe_lack("openai", error) from error
            return open_endpoint(settings)
        case "fastembed":
            return _load_fastembed(settings.model)
        case "sentence-transformers":
            return _load_sentence_transformer(settings.model)
    return _import_function(settings.provider)


def _add_prefix(function: EmbeddingFunction, prefix: str) -> EmbeddingFunction:
    if not prefix:
        return function
    return lambda texts: function([prefix + text for text in texts])


@lru_cache(maxsize=_KEPT_MODELS)
def _load_fastembed(model_name: str) -> EmbeddingFunction:
    try:
        from fastembed import TextEmbedding  # noqa: PLC0415
    except ImportError as error:
        raise _describe_lack("fastembed", error) from error
    try:
        model = TextEmbedding(model_name=model_name)
    except Exception as error:
        raise InputError(f"fastembed cannot load {model_name!r}: {error}") from error
    return lambda texts: list(model.query_embed(texts))


@lru_cache(maxsize=_KEPT_MODELS)
def _load_sentence_transformer(model_name: str) -> EmbeddingFunction:
    try:
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415
    except ImportError as error:
        raise _describe_lack("sentence-transformers", error) from error
    try:
        model = SentenceTransformer(model_name)
    except Exception as error:
        raise InputError(f"sentence-transformers cannot load {model_name!r}: {error}") from error
    # Since 5.0 there is a method for queries, which uses the model's own prompt for them.
    encode: Any = getattr(model, "encode_query", model.encode)
    return lambda texts: encode(texts, show_progress_bar=False)


def _describe_lack(provider: str, error: ImportError) -> ConfigError:
    package = "httpx" if provider == "openai" else provider
    return ConfigError(f"embed: {provider} lacks a package ({error}): pip install {package}")


def _import_function(name: str) -> EmbeddingFunction:
    """Return the function that `name` names as `module:function`, or that embeds by an object.

    The module is looked for in the current directory first. Raises ConfigError.
    """
    value = _import_object(name)
    if isinstance(value, type) and _find_query_method(value):
        raise ConfigError(f"{name!r} is a class; name an object of it")
    embed_query = getattr(value, _find_query_method(value), None)
    if embed_query is not None:
        return lambda texts: [embed_query(text) for text in texts]
    if not callable(value):
        raise ConfigError(f"{name!r} is no function, but {type(value).__name__}")
    function: EmbeddingFunction = value
    return function


def _find_query_method(value: Any) -> str:
    """Return the method by which LangChain's or LlamaIndex's embeddings embed a query, or ""."""
    names = ("embed_query", "get_query_embedding")
    return next((name for name in names if hasattr(value, name)), "")


def _import_object(name: str) -> Any:
    module, _, attributes = name.partition(":")
    if not module or not attributes:
        raise ConfigError(f"{name!r} names no function; write module:name")
    working_directory = str(Path.cwd())
    if working_directory not in sys.path:
        sys.path.insert(0, working_directory)
    try:
        value: Any = import_module(module)
        for attribute in attributes.split("."):
            value = getattr(value, attribute)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{name!r} cannot be imported: {reason}") from error
    return value
