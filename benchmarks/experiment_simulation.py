"""Simulated canaries: how often they conclude wrongly, and how many sessions they take.

python benchmarks/experiment_simulation.py [--parts null,sequences,better,worse,cold,control]
    [--canaries 2000] [--sessions 2000] [--set demo] [--plans FOLDER]

The demo's data is always there; other sets are those of `feedback_simulation.py`. The demo's plan
is that of a whole cycle, theirs is NUDGE-N's. What people do stands in `simulated_canaries.py`.
Every canary is looked at after every session, by the product's own sequences and settings; of a few
of each kind it is asserted that the product's own rules come to the same.

null       no difference: in each session a coin says which of the two lists (of the plan, and of
           the collection) is called the treatment's.
sequences  the product's sequence beside others of the package ville, empirical Bernstein and an
           asymptotic one: how often they promote where nothing differs, and how soon otherwise.
better     the plan, and the same plan a part of the way: sessions until it is promoted. The
           t-test has one fixed number of sessions, half of them in each arm, the same alpha, and a
           power of 0.5 (under "median") or 0.9 (under "90 %").
worse      a plan made from shuffled judgements: until it is stopped. A session is hurt if its best
           answer stands lower, or is gone, where the plan's list is compared with the collection's.
cold       plans that know nothing of three documents in ten, which they push out of lists: what the
           guardrail sees of it, and what becomes of the canary.
control    squad, on which nothing is to be gained: how often a plan is promoted.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from functools import partial
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import ville
from common.simulated_canaries import (
    DEMO,
    Canaries,
    World,
    build_world,
    draft_lists,
    list_sets,
    simulate_interleaving,
    simulate_split,
    split_chunks,
)
from scipy.stats import norm

from nudge_sync.experiment.evidence.decision import decide, weigh_evidence
from nudge_sync.experiment.evidence.sample_ratio import MISMATCH_ALPHA, compute_ratio_evidence
from nudge_sync.experiment.evidence.sequential import compute_log_wealth
from nudge_sync.settings.canary import CanarySettings

SETTINGS = CanarySettings(min_sessions=1)
"""Without a fewest number of sessions, so that what is measured is the statistics."""
NEVER = np.iinfo(np.int64).max
CHECKED_CANARIES = 3
"""Canaries of each run whose conclusion is compared with that of `decide`."""
ROUNDING_SESSIONS = 20
"""How many sessions later `decide` may conclude: it goes by bounds that are rounded outwards."""
SHARES = {"split, half and half": 0.5, "split, 10 %": 0.1}


@dataclass(frozen=True)
class Conclusions:
    """After how many sessions each canary concluded, or NEVER."""

    promoted: Any
    harmed: Any
    mismatched: Any

    @property
    def promotions(self) -> Any:
        """Which canaries end by promotion."""
        return self.promoted < self.harmed

    @property
    def harms(self) -> Any:
        """Which canaries end by harm."""
        return (self.harmed <= self.promoted) & (self.harmed != NEVER)


def find_first(is_hit: Any) -> Any:
    """Return the number of the first session, from 1, that hits, (canaries,)."""
    return np.where(is_hit.any(axis=1), is_hit.argmax(axis=1) + 1, NEVER)


def conclude(canaries: Canaries, share: float) -> Conclusions:
    """Return what canaries come to that are looked at after every session.

    The rules of `decide`, for all sessions at once.
    """
    effect, unmoved = canaries.effect, canaries.unmoved
    better = compute_log_wealth(effect.values, 0.0, effect.low) >= -log(SETTINGS.alpha / 2)
    worse = np.zeros_like(better)
    for each in (effect, unmoved):
        worse |= compute_log_wealth(-each.values, 0.0, -each.high) >= -log(SETTINGS.alpha / 4)
    is_sure = np.logical_or.accumulate(better, axis=1)
    ratio = compute_ratio_evidence(canaries.assignments, share)
    return Conclusions(
        find_first(is_sure & (np.cumsum(unmoved.values, axis=1) >= 0)),
        find_first(worse),
        find_first(ratio >= -log(MISMATCH_ALPHA)),
    )


def check_rules(canaries: Canaries, ends: Conclusions, share: float) -> None:
    """Assert that `decide` concludes the same of the first canaries, and no session sooner."""
    count, sessions = canaries.query.shape
    for row in range(min(count, CHECKED_CANARIES)):
        promoted, harmed, mismatched = ends.promoted[row], ends.harmed[row], ends.mismatched[row]
        last = min(promoted, harmed, mismatched, sessions)
        verdict = "continue"
        if last == mismatched:
            verdict = "paused"
        elif last == harmed:
            verdict = "harm"
        elif last == promoted:
            verdict = "promote"
        assert read_verdict(canaries, row, last - 1, share) == "continue", row
        if last + ROUNDING_SESSIONS > sessions:
            continue
        later = range(last, last + ROUNDING_SESSIONS)
        verdicts = (read_verdict(canaries, row, seen, share) for seen in later)
        assert verdict in verdicts, (row, last, verdict)


def read_verdict(canaries: Canaries, row: int, sessions: int, share: float) -> str:
    """Return what the product makes of the first sessions of one canary."""
    evidence = weigh_evidence(canaries.read_credits(row, sessions), SETTINGS, share)
    return decide(evidence, SETTINGS, started=0.0, now=0.0).verdict


def run(simulate: Any, share: float, count: int, sessions: int, seed: int) -> Conclusions:
    """Return the conclusions of `count` canaries of `sessions` sessions."""
    rng = np.random.default_rng(seed)
    parts = []
    for size in split_chunks(count, sessions):
        canaries = simulate(shape=(size, sessions), rng=rng)
        parts.append(conclude(canaries, share))
        if len(parts) == 1:
            check_rules(canaries, parts[0], share)
    return Conclusions(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("promoted", "harmed", "mismatched")
        )
    )


def list_modes(world: World, *, null: bool = False) -> dict[str, tuple[Any, float]]:
    """Return name -> a function that simulates canaries of that mode, and the expected ratio."""
    interleave = partial(simulate_interleaving, world, draft_lists(world), null=null)
    return {
        "interleave": (interleave, 0.5),
        **{
            name: (partial(simulate_split, world, share=share, null=null), share)
            for name, share in SHARES.items()
        },
    }


def show_null(world: World, count: int, sessions: int) -> None:
    print(f"\nno difference: {count} canaries, looked at after each of {sessions} sessions")
    print(f"{'':22}{'promoted':>10}{'harm':>10}{'either':>10}{'ratio':>10}")
    for name, (simulate, share) in list_modes(world, null=True).items():
        ends = run(simulate, share, count, sessions, 1)
        rates = (
            ends.promotions.mean(),
            ends.harms.mean(),
            (ends.promotions | ends.harms).mean(),
            (ends.mismatched != NEVER).mean(),
        )
        print(f"{name:22}" + "".join(f"{rate:10.2%}" for rate in rates), flush=True)
    print(f"{'at most':22}{SETTINGS.alpha / 2:10.2%}{SETTINGS.alpha / 2:10.2%}"
          f"{SETTINGS.alpha:10.2%}{MISMATCH_ALPHA:10.2%}")  # fmt: skip


SEQUENCES = {
    "betting (ours)": None,
    "empirical Bernstein": partial(ville.EmpiricalBernsteinCS, (-1, 1)),
    "asymptotic": partial(ville.AsymptoticCS, t_opt=200, min_samples=2),
    "asymptotic from 100": partial(ville.AsymptoticCS, t_opt=200, min_samples=100),
}


def find_promotions(name: str, observations: Any) -> Any:
    """Return when the lower bound of a sequence first lies above 0, (canaries,)."""
    make = SEQUENCES[name]
    if make is None:
        return find_first(compute_log_wealth(observations, 0.0, -1.0) >= -log(SETTINGS.alpha / 2))
    sequences = [make(alpha=SETTINGS.alpha).fit(row) for row in observations]
    return find_first(np.stack([sequence.lower_ > 0 for sequence in sequences]))


def show_sequences(world: World, count: int) -> None:
    print(
        f"\nsequences, interleaved, {count} canaries: falsely promoted within 2000 sessions where"
    )
    print(
        "nothing differs, and median sessions until promotion where the plan goes part of the way"
    )
    shares = (1.0, 0.25, 0.1)
    rng = np.random.default_rng(3)
    null = simulate_interleaving(world, draft_lists(world), (count, 2000), rng, null=True)
    better = [
        simulate_interleaving(part, draft_lists(part), (count // 5, 2500), rng)
        for part in map(world.scale, shares)
    ]
    print(f"{'':22}{'false':>10}" + "".join(f"{share:>10.0%}" for share in shares))
    for name in SEQUENCES:
        false = (find_promotions(name, null.effect.values) != NEVER).mean()
        medians = [np.median(find_promotions(name, each.effect.values)) for each in better]
        print(f"{name:22}{false:10.2%}" + "".join(show_count(each) for each in medians), flush=True)


def show_count(sessions: float) -> str:
    return f"{'more':>10}" if sessions > 1e9 else f"{sessions:10.0f}"


def size_t_test(world: World, power: float) -> float:
    """Return the sessions of a two-sample t-test on half and half, by the true effect."""
    seen = simulate_split(world, (1, 300_000), np.random.default_rng(5), share=0.5).effect.values
    z = norm.ppf(1 - SETTINGS.alpha / 2) + norm.ppf(power)
    return float((z * seen.std() / seen.mean()) ** 2)


def show_better(world: World, count: int) -> None:
    print(f"\nbetter: the plan, {count} canaries; sessions until promotion")
    print(f"{'way':>6}{'NDCG@10':>9}  {'mode':22}{'effect':>9}{'promoted':>10}{'harm':>7}"
          f"{'median':>10}{'90 %':>10}{'x interleave':>14}")  # fmt: skip
    for share, longest in ((1.0, 4000), (0.25, 16000), (0.1, 60000)):
        part = world.scale(share)
        gain = part.measure_gain()
        reference = 0.0
        for name, (simulate, ratio) in list_modes(part).items():
            sessions = min(longest, 4000) if name == "interleave" else longest
            ends = run(simulate, ratio, count, sessions, 2)
            effect = simulate(shape=(1, 200_000), rng=np.random.default_rng(4)).effect.values.mean()
            median, late = np.quantile(ends.promoted, [0.5, 0.9], method="higher")
            reference = reference or median
            times = median / reference if median != NEVER else np.nan
            print(f"{share:6.0%}{gain:+9.1f}  {name:22}{effect:+9.4f}"
                  f"{ends.promotions.mean():10.1%}{ends.harms.mean():7.1%}"
                  f"{show_count(median)}{show_count(late)}"
                  f"{times:14.1f}", flush=True)  # fmt: skip
        middle, late = size_t_test(part, 0.5), size_t_test(part, 0.9)
        print(f"{'':17}{'t-test, half and half':48}{middle:10.0f}{late:10.0f}"
              f"{middle / reference:14.1f}", flush=True)  # fmt: skip


def find_hurt(world: World) -> Any:
    """Return for which queries the plan's list has its best answer lower, or not at all, (q,)."""
    ranks = []
    for documents in (world.documents, world.planned):
        is_answer = world.find_answers(world.rank(documents))
        ranks.append(np.where(is_answer.any(axis=1), is_answer.argmax(axis=1), is_answer.shape[1]))
    return ranks[1] > ranks[0]


def show_worse(name: str, plans: Path | None, count: int) -> None:
    for angle in (0.6, 0.9):
        world = build_world(name, plans, spoil="shuffled", angle=angle)
        loss = world.measure_gain()
        hurt = find_hurt(world).mean()
        print(f"\nworse: {name}, shuffled judgements, angle {angle}, NDCG@10 {loss:+.1f}; "
              f"{hurt:.0%} of queries hurt by the plan's list")  # fmt: skip
        for mode, (simulate, share) in list_modes(world).items():
            ends = run(simulate, share, count, 10_000 if mode == "split, 10 %" else 4000, 6)
            median, late = np.quantile(ends.harmed, [0.5, 0.9], method="higher")
            treated = hurt * (1.0 if mode == "interleave" else share)
            print(f"{mode:22} harm {ends.harms.mean():.1%} promoted {ends.promotions.mean():.1%} "
                  f"sessions: median{show_count(median)}, 90 %{show_count(late)}; "
                  f"hurt until then:{show_count(treated * median)}", flush=True)  # fmt: skip


def show_cold(name: str, plans: Path | None, count: int) -> None:
    print(f"\ncold: {name}, three documents in ten without judgements, {count} canaries")
    for angle in (None, 0.6, 0.9):
        world = build_world(name, plans, spoil="cold", angle=angle)
        is_cold = world.is_cold
        print(
            f"angle {angle or 'chosen'}: NDCG@10 {world.measure_gain():+.1f}; for the queries "
            f"whose answers stay, {is_cold.mean():.0%}, {world.measure_gain(is_cold):+.1f}"
        )
        for mode, (simulate, share) in list_modes(world).items():
            sample = simulate(shape=(1, 200_000), rng=np.random.default_rng(8))
            ends = run(simulate, share, count, 6000, 9)
            print(f"{mode:22}effect {sample.effect.values.mean():+.4f}  "
                  f"guardrail {sample.unmoved.values.mean():+.4f}  "
                  f"promoted {ends.promotions.mean():.0%}  harm {ends.harms.mean():.0%}",
                  flush=True)  # fmt: skip


def show_control(plans: Path | None, count: int) -> None:
    for angle in (None, 0.2):
        world = build_world("squad-minilm", plans, angle=angle)
        print(f"\nsquad, angle {angle or 'chosen'}: {world.moved.sum()} documents move, "
              f"NDCG@10 {world.measure_gain():+.2f}")  # fmt: skip
        for mode, (simulate, share) in list_modes(world).items():
            ends = run(simulate, share, count, 4000, 7)
            print(f"{mode:22} promoted {ends.promotions.mean():.1%}, harm {ends.harms.mean():.1%}",
                  flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", default="null,sequences,better,worse,cold,control")
    parser.add_argument("--canaries", type=int, default=2000)
    parser.add_argument("--sessions", type=int, default=2000)
    parser.add_argument("--set", default=DEMO, choices=list_sets())
    parser.add_argument("--plans", type=Path, help="where to keep plans for the next time")
    args = parser.parse_args()
    parts, start = args.parts.split(","), time.perf_counter()
    if args.plans:
        args.plans.mkdir(parents=True, exist_ok=True)
    world = build_world(args.set, args.plans)
    if "null" in parts:
        show_null(world, args.canaries, args.sessions)
    few = max(20, args.canaries // 20)
    if "sequences" in parts:
        show_sequences(world, 5 * few)
    if "better" in parts:
        show_better(world, few)
    if "worse" in parts:
        show_worse(args.set, args.plans, few)
    if "cold" in parts:
        show_cold(args.set, args.plans, few)
    if "control" in parts and "squad-minilm" in list_sets():
        show_control(args.plans, few)
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
