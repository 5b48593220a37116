"""The keys that an import has seen."""

from nudge_sync.feedback.ingest.seen_keys import SeenKeys


def test_seen_remembers_across_its_parts(monkeypatch):
    monkeypatch.setattr("nudge_sync.feedback.ingest.seen_keys._MAX_RECENT", 8)
    seen = SeenKeys()
    assert all(seen.add(str(number)) for number in range(100))
    assert not any(seen.add(str(number)) for number in range(100))
