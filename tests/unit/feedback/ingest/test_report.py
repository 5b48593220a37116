"""The file of the refused rows."""

import pytest

from nudge_sync.errors import InputError
from nudge_sync.feedback.ingest.formats import open_json_lines
from nudge_sync.feedback.ingest.importer import import_rows
from tests.support.feedback_files import SEARCH, write_lines

REJECTS = {
    "itself": "f",
    "by another way": "folder/../f",
    "through a link": "link",
    "under another name": "twin",
}


@pytest.mark.parametrize("name", REJECTS)
@pytest.mark.parametrize("strict", [False, True])
def test_refused_rows_never_go_into_a_file_that_is_read(tmp_path, destination, name, strict):
    path = write_lines(tmp_path / "f", SEARCH, "{")
    before = path.read_bytes()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "twin").hardlink_to(path)
    rejects = tmp_path / REJECTS[name]
    sources = [open_json_lines(write_lines(tmp_path / "other", SEARCH)), open_json_lines(path)]
    with pytest.raises(InputError, match="name another file with --rejects"):
        import_rows(sources, destination, rejects_path=rejects, strict=strict)
    assert path.read_bytes() == before
    assert not destination.queries.kept


def test_refused_rows_never_make_a_file_that_is_read_next(tmp_path, destination):
    rejects = tmp_path / "rejects"
    sources = [open_json_lines(write_lines(tmp_path / "f", "{")), open_json_lines(rejects)]
    with pytest.raises(InputError, match="name another file with --rejects"):
        import_rows(sources, destination, rejects_path=rejects)
    assert not rejects.exists()
