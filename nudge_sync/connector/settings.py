"""Tables of settings as models, and errors that name the wrong key and the nearest known one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from nudge_sync.errors import ConfigError

SettingsModel = TypeVar("SettingsModel", bound=BaseModel)
"""The model that a table is read into."""
Sections = Sequence[tuple[str, type[BaseModel]]]
"""Tables of a file by name, each with its model."""


class Section(BaseModel):
    """A table of the TOML file: an unknown key is an error, a value is checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _resolve_paths(cls, value: Any, info: ValidationInfo) -> Any:
        return resolve_path(value, info) if isinstance(value, Path) else value


class SettingsTable(dict[str, Any]):
    """A table of a TOML file that knows the folder of the file: relative paths count from it."""

    def __init__(self, table: Mapping[str, Any], folder: Path) -> None:
        super().__init__(table)
        self.folder = folder


def resolve_path(path: Path, info: ValidationInfo) -> Path:
    """Return `path` from the folder of the file that it stands in, for a pydantic validator.

    An absolute path, one of the home folder (`~`), and a path that no file names stay as they are.
    """
    folder = (info.context or {}).get("folder")
    return path if folder is None else folder / path.expanduser()


def validate_settings(
    model: type[SettingsModel], table: Mapping[str, Any], location: str, sections: Sections = ()
) -> SettingsModel:
    """Return the table as a `model`.

    location: the table's name in the file, for messages.
    sections: tables allowed beside the model's own, where a misplaced key may belong.
    A relative path counts from the table's folder, where it is a SettingsTable.
    Raises ConfigError that names the location, each wrong key with the nearest known one, and each
    wrong value with what was expected. Values themselves are not repeated: one may be a secret.
    """
    try:
        context = {"folder": getattr(table, "folder", None)}
        return model.model_validate(dict(table), context=context)
    except ValidationError as error:
        items = error.errors(include_input=False, include_url=False, include_context=False)
        sentences = (_describe_error(model, location, item, sections) for item in items)
        raise ConfigError("; ".join(dict.fromkeys(sentences))) from None


def _describe_error(model: type[BaseModel], location: str, item: Any, sections: Sections) -> str:
    path = [str(part) for part in item["loc"]]
    key_path = ".".join(part for part in (location, *path) if part)
    if item["type"] != "extra_forbidden":
        message = str(item["msg"]).removeprefix("Value error, ")
        return f"{key_path}: {message}" if key_path else message
    known = [key for parent in _find_models(model, path[:-1]) for key in parent.model_fields]
    known += [name for name, _ in sections if key_path == path[-1]]
    suggestions = get_close_matches(path[-1], known, n=1) or _suggest_from_sections(
        path[-1], sections
    )
    return f"{key_path}: unknown key" + (
        f"; did you mean {suggestions[0]!r}?" if suggestions else ""
    )


def _suggest_from_sections(key: str, sections: Sections) -> list[str]:
    """Return the key of another section that `key` resembles, as section.key; [] if none does."""
    known = {inner: f"{name}.{inner}" for name, model in sections for inner in model.model_fields}
    return [known[near] for near in get_close_matches(key, known, n=1)]


def _find_models(model: type[BaseModel], path: Sequence[str]) -> list[type[BaseModel]]:
    """Return the models that the value at `path` inside `model` may be read into."""
    annotations: list[Any] = [model]
    for part in path:
        annotations = [inner for outer in annotations for inner in _descend(outer, part)]
    return [found for annotation in annotations for found in _list_models(annotation)]


def _descend(annotation: Any, part: str) -> Iterator[Any]:
    """Yield the annotations that `part` of a location leads to."""
    if get_origin(annotation) in {Annotated, Union, UnionType}:
        for alternative in get_args(annotation):
            yield from _descend(alternative, part)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if part in annotation.model_fields:
            yield annotation.model_fields[part].annotation
        elif part == annotation.__name__:
            # pydantic puts the member of a union that it tried into the location.
            yield annotation
    else:
        yield from get_args(annotation)


def _list_models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in {Annotated, Union, UnionType}:
        for alternative in get_args(annotation):
            yield from _list_models(alternative)
