"""The key `embed` of [feedback] and of sources: what embeds searches that come without a vector."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from nudge_sync.connector.secrets import refuse_secrets_in_address, refuse_secrets_in_table
from nudge_sync.connector.settings import Section, validate_settings

EMBED_KEY_VARIABLE = "NUDGE_SYNC_EMBED_API_KEY"
"""The environment variable with the key of an endpoint."""
MODEL_PROVIDERS = ("openai", "fastembed", "sentence-transformers")
"""Providers that take the name of a model."""
OPENAI_URL = "https://api.openai.com/v1"


def parse_embed_name(name: str, location: str) -> EmbedSettings:
    """Return the settings that a text alone gives, as `--embed` takes it.

    location: what messages call it. Raises ConfigError.
    """
    return validate_settings(EmbedSettings, _split_name(name), location)


def _split_name(name: str) -> dict[str, str]:
    provider, _, model = name.partition(":")
    is_named = provider in MODEL_PROVIDERS
    return {"provider": provider, "model": model} if is_named else {"provider": name}


class EmbedSettings(Section):
    """Who embeds texts of queries, and how many; a text alone is `provider:model`."""

    provider: Annotated[str, Field(min_length=1)]
    """Such as "openai" for any endpoint of that protocol, "fastembed", "sentence-transformers", or
    `module:object` for a function or an embedding object of yours."""
    model: str = ""
    url: str = OPENAI_URL
    """Where the endpoint is, without the `/embeddings` at the end."""
    api_key_file: Path | None = None
    """A file with the endpoint's key, where the environment has no NUDGE_SYNC_EMBED_API_KEY."""
    prefix: str = ""
    """What the model wants before the text of a query, such as "query: "."""
    dimensions: Annotated[int, Field(ge=1)] | None = None
    """How long the vectors shall be, for an endpoint that shortens them."""
    batch_size: Annotated[int, Field(ge=1, le=2048)] = 128
    """Texts in one request, or in one call of the model."""
    max_texts: Annotated[int, Field(ge=1)] = 100_000
    """Texts that one import or fetch embeds at most; the next one goes on."""

    @model_validator(mode="before")
    @classmethod
    def _read_name(cls, table: Any) -> Any:
        if isinstance(table, dict):
            refuse_secrets_in_table(table, "embed", EMBED_KEY_VARIABLE, "api_key_file")
        return _split_name(table) if isinstance(table, str) else table

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        refuse_secrets_in_address(url, "embed.url", EMBED_KEY_VARIABLE)
        if not url.startswith(("http://", "https://")):
            raise ValueError("an address that begins with http:// or https:// is expected")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _check_model(self) -> EmbedSettings:
        if self.names_model and not self.model:
            raise ValueError(f'name a model, such as "{self.provider}:MODEL"')
        if not self.names_model and ":" not in self.provider:
            known = ", ".join(MODEL_PROVIDERS)
            raise ValueError(f"{self.provider!r} is none of {known}, and no module:function")
        return self

    @property
    def names_model(self) -> bool:
        """Whether the settings say which model embeds, and not only which code of yours."""
        return self.provider in MODEL_PROVIDERS

    @property
    def identity(self) -> str:
        """What is stored beside the vectors: two of one identity are of one model.

        Where the address, the prefix or the length are not the default, a digest of them is in it.
        """
        if not self.names_model:
            return self.provider
        details = [self.url if self.provider == "openai" else OPENAI_URL, self.prefix]
        name = f"{self.provider}:{self.model}"
        if details == [OPENAI_URL, ""] and self.dimensions is None:
            return name
        text = json.dumps([*details, self.dimensions])
        return f"{name}#{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"
