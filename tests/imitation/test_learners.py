"""What learners say of themselves: nothing false is called exact, estimates are called estimates, slips are typed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mailopt as mo

CHAIN = mo.scenarios.unvisited_chain(4)
SHOWN = mo.Demonstrations.from_policy(CHAIN.game, CHAIN.expert)


def test_a_stationary_expert_must_be_one() -> None:
    rng = np.random.default_rng(0)
    expert = mo.CorrelatedPolicy(rng.dirichlet(np.ones(4), size=(4, 8)))
    with pytest.raises(mo.errors.InvalidOption, match="differ between steps"):
        mo.blades(CHAIN.game, expert, stationary=True)
    same = mo.CorrelatedPolicy(np.broadcast_to(CHAIN.expert.probabilities, (4, 8, 4)))
    assert mo.blades(CHAIN.game, same, stationary=True).exact


def test_answers_of_another_expert_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    mo.blades(CHAIN.game, CHAIN.expert, answers=path)
    with pytest.raises(mo.errors.MalformedFile, match="belongs to one expert"):
        mo.blades(CHAIN.game, CHAIN.learner, answers=path)
    longer = mo.scenarios.unvisited_chain(5)
    path.write_text(path.read_text().replace('"states": 8', '"states": 10').replace("[3, ", "[9, "))
    with pytest.raises(mo.errors.MalformedFile, match="no step and state"):
        mo.blades(longer.game, longer.expert, answers=path)


def test_estimates_are_those_of_the_returned_policy() -> None:
    chain = mo.scenarios.aliased_chain(4, coverage=0.2)
    shown = mo.Demonstrations.from_policy(chain.game, chain.expert)
    aliased = mo.policy_classes.Aggregated(chain.labels or ())
    sim = mo.GameSimulator(chain.game)
    found = mo.malice(sim, shown, policy_class=aliased, uncovered="charge", episodes=400, seed=0)
    assert found.estimate == min(r.loss for r in found.history)
    assert f"about {found.estimate:.3g}" in repr(found)
    true = mo.deviation_weighted_loss(chain.game, found.policy, chain.expert).value
    assert found.estimate == pytest.approx(true, abs=0.3)
    asked = mo.blades(sim, chain.expert, episodes=100, seed=1)
    assert "in roll-outs" in repr(asked)
    assert "<=" not in repr(asked)
    assert asked.estimate == asked.bound == asked.history[-1].loss
    assert not asked.exact


@pytest.mark.parametrize("seed", range(6))
def test_deviations_in_simulators_try_all_actions(seed: int) -> None:
    """The loss in roll-outs is the loss: also where just one of many actions leads astray, and by chance."""
    rng = np.random.default_rng(seed)
    counts = [(4,), (5,), (2, 3), (3, 3)][seed % 4]
    joint = int(np.prod(counts))
    rows = np.zeros((4, joint, 4))
    rows[:, :, 1] = 1.0
    rows[0, joint - 1] = rng.dirichlet(np.ones(4))  # only the last joint action leaves what is demonstrated
    rows[1, joint - 1, 1], rows[1, joint - 1, 2] = 0.25, 0.75
    rows[2], rows[3] = np.eye(4)[2], np.eye(4)[3]
    game = mo.MarkovGame(rows, np.zeros((len(counts), 4, joint)), [1.0, 0, 0, 0], counts, horizon=3)
    expert = mo.CorrelatedPolicy(np.tile(np.eye(joint)[joint - 2], (4, 1)))
    shown = mo.sample_demonstrations(game, expert, 200, seed=0)
    exact = mo.malice(game, shown, uncovered="charge")
    sampled = mo.malice(mo.GameSimulator(game), shown, uncovered="charge", episodes=2000, seed=seed)
    assert exact.loss is not None
    assert exact.loss.value > 0.5
    assert sampled.estimate == pytest.approx(exact.loss.value, abs=0.1)
    with pytest.raises(mo.errors.CoverageError):
        mo.malice(mo.GameSimulator(game), shown, episodes=2000, seed=seed)


def test_the_loss_against_the_expert_is_reported_beside_that_against_data() -> None:
    rng = np.random.default_rng(0)
    game = mo.MarkovGame(rng.dirichlet(np.ones(3), size=(3, 4)), rng.random((2, 3, 4)), [1.0, 0, 0], (2, 2), horizon=3)
    expert = mo.CorrelatedPolicy.uniform(game)
    shown = mo.sample_demonstrations(game, expert, 200, seed=0)
    found = mo.behavior_cloning(game, shown, expert=expert)
    true = mo.deviation_weighted_loss(game, found.policy, expert)
    assert found.loss is not None
    assert found.loss.value < 1e-9 < true.value
    assert found.history[0].expert_loss is not None
    assert found.history[0].expert_loss == pytest.approx(true.upper, abs=1e-9)  # obedience reaches no more


def test_bounds_of_the_history_are_those_of_the_evaluation() -> None:
    chain = mo.scenarios.aliased_chain(4, coverage=0.2)
    shown = mo.Demonstrations.from_policy(chain.game, chain.expert)
    aliased = mo.policy_classes.Aggregated(chain.labels or ())
    for deviations in (mo.Swap(), mo.Limited(1), mo.Coarse()):
        found = mo.malice(chain.game, shown, policy_class=aliased, deviations=deviations)
        bound = mo.regret_gap_bound(chain.game, found.policy, chain.expert, deviations).value
        assert bound in [r.gap_bound for r in found.history]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: mo.malice(CHAIN.game, CHAIN.expert), mo.errors.InvalidDemonstrations, "from_policy"),  # type: ignore[arg-type]
        (lambda: mo.behavior_cloning(CHAIN.game, [1]), mo.errors.InvalidDemonstrations, "from_counts"),  # type: ignore[arg-type]
        (
            lambda: mo.blades(CHAIN.game, CHAIN.expert, completion=np.ones(4)),  # type: ignore[arg-type]
            mo.errors.InvalidOption,
            "CorrelatedPolicy",
        ),
        (lambda: mo.blades(CHAIN.game, CHAIN.expert, answers=True), mo.errors.InvalidOption, "path"),  # type: ignore[arg-type]
        (
            lambda: mo.behavior_cloning(
                CHAIN.game,
                SHOWN,
                policy_class=mo.policy_classes.Mixture(CHAIN.expert),  # type: ignore[arg-type]
            ),
            mo.errors.InvalidPolicyClass,
            "needs a list",
        ),
        (lambda: mo.policy_classes.Tabular().subject_to([[1.0]]), mo.errors.InvalidPolicyClass, "no bound"),
        (lambda: mo.programs.imitation(CHAIN.game, SHOWN, SHOWN.visits), mo.errors.PolicyNumber, "numbers"),  # type: ignore[arg-type]
        (
            lambda: mo.behavior_cloning(
                CHAIN.game,
                SHOWN,
                policy_class=mo.policy_classes.Tabular().subject_to(np.ones((4, 8, 4)), lower=33.0, name="too much"),
            ),
            mo.errors.InfeasibleClass,
            "the constraint too much of the class",
        ),
    ],
)
def test_slips_have_typed_errors(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("weigh_deviations", [False, True])
def test_no_policy_errs_worse_on_a_small_chain(weigh_deviations: bool) -> None:
    """The worst gap at a training loss of eps a step is u H eps / beta for cloning and u H eps for MALICE and BLADES.

    Every deterministic policy of the chain of two steps, and random mixtures, scaled towards the expert until its
    training loss is eps a step (a chain of two steps has 2^2 x 4 rows that matter).
    """
    horizon, beta, eps = 2, 0.25, 0.02
    chain = mo.scenarios.covered_chain(horizon, coverage=beta, error=0)
    game, expert, rng = chain.game, chain.expert.probabilities, np.random.default_rng(0)
    visits = mo.occupancy(game, chain.expert).sum(axis=2).sum(axis=0)
    tried = [np.eye(4)[list(joint)] for joint in itertools.product(range(4), repeat=4)]
    tried += [rng.dirichlet(np.full(4, 0.2), size=4) for _ in range(100)]

    def loss(policy: mo.CorrelatedPolicy) -> float:
        if weigh_deviations:
            return mo.deviation_weighted_loss(game, policy, chain.expert).value / horizon
        return float(visits @ np.abs(policy.probabilities - expert).sum(axis=1)) / 2 / horizon

    limit = eps * horizon / (1.0 if weigh_deviations else beta)
    largest = 0.0
    for rows in tried:
        low, high = 0.0, 1.0
        for _ in range(20):
            middle = (low + high) / 2
            mixed = mo.CorrelatedPolicy((1 - middle) * expert + middle * rows)
            low, high = (middle, high) if loss(mixed) <= eps else (low, middle)
        mixed = mo.CorrelatedPolicy((1 - low) * expert + low * rows)
        largest = max(largest, mo.regret_gap(game, mixed, chain.expert).value)
    assert largest == pytest.approx(limit, rel=1e-4)
    assert largest <= limit * (1 + 1e-9)
