"""`init`: write a configuration to start from."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated

import typer

from nudge_sync.cli import options
from nudge_sync.cli.output import print_line, print_result
from nudge_sync.errors import ConfigError

ConnectorOption = Annotated[
    str,
    typer.Option(envvar="NUDGE_SYNC_INIT_CONNECTOR", help="qdrant, qdrant-edge or milvus."),
]
ReplaceOption = Annotated[
    bool, typer.Option("--force", envvar="NUDGE_SYNC_INIT_FORCE", help="Replace the file.")
]
_DATABASE_SECTIONS = {
    "qdrant": """[database]
connector = "qdrant"
url = "http://localhost:6333"   # the key: QDRANT_API_KEY in the environment
# patience = "30s"              # how long a request that found no answer is tried again
""",
    "qdrant-edge": """[database]
connector = "qdrant-edge"
path = "qdrant-edge"            # a folder with one folder a collection
# patience = "30s"              # how long to wait while another process has it open
""",
    "milvus": """[database]
connector = "milvus"
uri = "http://localhost:19530"  # the token: MILVUS_TOKEN in the environment
# patience = "30s"              # how long a request that found no answer is tried again
""",
}


def init(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    connector: ConnectorOption = "qdrant",
    force: ReplaceOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Write a commented nudge-sync.toml."""
    text = render_template(connector)
    try:
        with config.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        if config.is_dir():
            raise ConfigError(f"{config} is a folder; name a file in it") from None
        raise ConfigError(f"{config} is there already; --force replaces it") from None
    except OSError as error:
        raise ConfigError(f"{config}: {error.strerror}") from None
    print_result({"config": str(config)}, as_json, lambda _: print_line(f"wrote {config}"))


def render_template(connector: str) -> str:
    """Return a commented configuration for `connector`. Raises ConfigError for an unknown one."""
    if connector not in _DATABASE_SECTIONS:
        raise ConfigError(f"init knows {', '.join(_DATABASE_SECTIONS)}; write [database] yourself")
    text = files("nudge_sync.cli").joinpath("template.toml").read_text(encoding="utf-8")
    return text.replace("@database@\n", _DATABASE_SECTIONS[connector] + "\n")
