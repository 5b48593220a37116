"""A study as JSON and as tables."""

from __future__ import annotations

import json

from nudge_sync.evaluate import evidence, outcome


def test_the_object_is_json_and_says_how_much_was_compared(finished_study, lines):
    result = json.loads(
        json.dumps(
            outcome.study_to_dict(
                finished_study, lines, evidence.measure_gain_by_judgements(finished_study), []
            ),
            allow_nan=False,
        )
    )

    assert result["comparisons"] == 2
    assert "2 comparisons" in outcome.format_footnote(result)
    assert outcome.format_p_value(1e-9) == "<0.0001"
