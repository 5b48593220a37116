"""The table [console]: what people see of a point beside its id."""

from __future__ import annotations

from nudge_sync.connector.settings import Section


class ConsoleSettings(Section):
    """The payload fields that the console shows of a point, by their names."""

    title: str = ""
    """The field with the document's title; "" shows ids alone."""
    link: str = ""
    """The field with the document's address, which is linked if it is http or https; "": none."""
