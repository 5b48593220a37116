"""Where an application keeps its log: a collection, files, or a table of another database."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator

from nudge_sync.connector.settings import Section, resolve_path

POSTGRES_SCHEMES = ("postgres", "postgresql")
READER_BY_SUFFIX = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
}
"""How the name of a file ends -> what reads it; .gz or .zst may follow."""
_COMPRESSED = (".gz", ".zst")
_Name = Annotated[str, Field(min_length=1)]


class LogPlace(Section):
    """Where a log lies. One of three: `collection`; `files`; or `database` and `table`."""

    collection: str = ""
    """A collection of the same database as the documents."""
    files: _Name | tuple[_Name, ...] = ()
    """Paths or addresses of Parquet, CSV or JSON files, in which * stands for any text."""
    database: str = ""
    """A file of DuckDB, or a postgresql:// address without a password."""
    table: str = ""
    """A table or view of that database; a schema may stand before it, with a dot."""

    @property
    def is_table(self) -> bool:
        """Whether the log is read as a table with columns, not as a collection of points."""
        return not self.collection

    @property
    def place(self) -> str:
        """What the log is called in messages."""
        return self.collection or self.table or ", ".join(self.list_files())

    def list_files(self) -> tuple[str, ...]:
        """Return the patterns of the files."""
        return (self.files,) if isinstance(self.files, str) else self.files

    @field_validator("files")
    @classmethod
    def _check_files(
        cls, files: str | tuple[str, ...], info: ValidationInfo
    ) -> str | tuple[str, ...]:
        patterns = (files,) if isinstance(files, str) else files
        if len({find_reader(pattern) for pattern in patterns}) > 1:
            raise ValueError("files of one kind only")
        return tuple(_resolve(pattern, info) for pattern in patterns)

    @field_validator("database")
    @classmethod
    def _check_database(cls, database: str, info: ValidationInfo) -> str:
        if "://" not in database:
            return _resolve(database, info) if database else ""
        parts = urlsplit(database)
        if parts.scheme not in POSTGRES_SCHEMES:
            raise ValueError(
                "a file of DuckDB, or an address such as postgresql://reader@host/shop"
            )
        if parts.password is not None or "password" in parts.query:
            raise ValueError(
                "a password does not belong in the file; put it into the environment variable "
                "PGPASSWORD, or into ~/.pgpass"
            )
        return database

    @model_validator(mode="after")
    def _check_place(self) -> Self:
        places = [self.collection, self.files, self.database or self.table]
        if sum(map(bool, places)) != 1:
            raise ValueError("name one place: collection, files, or database and table")
        if bool(self.database) != bool(self.table):
            raise ValueError("database and table go together")
        return self


def find_reader(pattern: str) -> str:
    """Return what reads the files of a pattern: "parquet", "csv" or "json". Raises ValueError."""
    path = PurePosixPath(pattern)
    suffix = (PurePosixPath(path.stem) if path.suffix in _COMPRESSED else path).suffix
    if suffix not in READER_BY_SUFFIX:
        raise ValueError(
            f"the name of a file should end in one of {', '.join(READER_BY_SUFFIX)}, "
            "and .gz or .zst may follow"
        )
    return READER_BY_SUFFIX[suffix]


def _resolve(path: str, info: ValidationInfo) -> str:
    return path if "://" in path else str(resolve_path(Path(path), info))
