"""Team draft: whose choice each result is, and that no rank favours a team."""

from collections import Counter
from itertools import chain, product, repeat

from hypothesis import given
from hypothesis import strategies as st

from nudge_sync.experiment.interleave import draft_teams

RANKINGS = st.permutations(range(8)).map(lambda ids: ids[:6])


def draft_every_way(control, treatment, k):
    """Return the drafts of all falls of the coins."""
    return [
        draft_teams(control, treatment, k, chain(coins, repeat(False)))
        for coins in product([False, True], repeat=k)
    ]


@given(RANKINGS, RANKINGS, st.integers(1, 6))
def test_a_rank_belongs_to_either_team_equally_often(control, treatment, k):
    drafts = draft_every_way(control, treatment, k)
    for rank in range(k):
        owners = Counter(draft.teams[rank] for draft in drafts)
        assert owners["control"] == owners["treatment"]


@given(RANKINGS, RANKINGS, st.integers(1, 6))
def test_each_team_chooses_its_own_best_in_order(control, treatment, k):
    for draft in draft_every_way(control, treatment, k)[:4]:
        assert len(draft.ids) == len(draft.teams) == len(set(draft.ids)) == k
        owners = Counter(draft.teams)
        assert abs(owners["control"] - owners["treatment"]) <= 1
        for team, ranking in (("control", control), ("treatment", treatment)):
            ranks = [
                ranking.index(id_)
                for id_, owner in zip(draft.ids, draft.teams, strict=True)
                if owner in (team, "both")
            ]
            assert ranks == sorted(ranks)


def test_lists_that_agree_belong_to_both():
    draft = draft_teams([1, 2, 3], [1, 2, 3], 3, repeat(True))
    assert (draft.ids, draft.teams) == ([1, 2, 3], ["both"] * 3)


def test_teams_differ_from_where_the_lists_do():
    draft = draft_teams([1, 2, 3], [1, 4, 2], 3, repeat(True))
    assert (draft.ids, draft.teams) == ([1, 2, 4], ["both", "control", "treatment"])
    draft = draft_teams([1, 2, 3], [1, 4, 2], 3, repeat(False))
    assert (draft.ids, draft.teams) == ([1, 4, 2], ["both", "treatment", "control"])


def test_a_list_that_ends_leaves_the_rest_to_the_other():
    draft = draft_teams([1], [2, 3, 4], 5, repeat(True))
    assert draft.ids == [1, 2, 3, 4]
