"""Classes of policies and the imitation program: polytopes hold what they say, and bad ones are refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse

import mailopt as mo
from mailopt.programs.layout import Layout
from mailopt_solvers import solve
from tests.random_games import random_case, random_policy

pc = mo.policy_classes
CHAIN = mo.scenarios.aliased_chain(4, coverage=0.2)


def members(layout: Layout, rng: np.random.Generator) -> mo.CorrelatedPolicy:
    weights = rng.random(layout.allowed.shape) * layout.allowed
    return layout.policy(weights / weights.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("seed", range(20))
def test_parameters_make_policies_of_the_class(seed: int) -> None:
    game, rng = random_case(seed).game, np.random.default_rng(seed)
    some = [random_policy(rng, game, game.horizon if k else None) for k in range(2)]
    classes = [
        pc.Tabular(),
        pc.Stationary(),
        pc.Mixture(some[:1] * 2),
        pc.Mixture(some),
        pc.Mixture(some, per_step=True),
    ]
    if game.horizon is None:
        classes.append(pc.Tabular(steps=3))
    for policy_class in classes:
        layout = policy_class.layout(game)
        policy = members(layout, rng)
        policy.check(game)
        sigma = layout.sigma(layout.uniform())
        assert sigma.shape == layout.shape
        assert np.allclose(sigma.sum(axis=2), 1.0)
        every = np.indices(layout.shape).reshape(3, -1)
        assert np.allclose(layout.entries(*every) @ layout.uniform().ravel(), sigma.ravel())
        slopes = rng.normal(size=layout.shape)  # the pull-back is the transpose of the map
        x = rng.random(layout.allowed.shape)
        assert np.isclose((layout.sigma(x) * slopes).sum(), (x * layout.pulled_back(slopes)).sum())


def test_states_with_the_same_label_share_a_row() -> None:
    policy = members(pc.Aggregated(CHAIN.labels or ()).layout(CHAIN.game), np.random.default_rng(0))
    assert policy.num_steps is None
    for s, label in enumerate(CHAIN.labels or ()):
        for t, other in enumerate(CHAIN.labels or ()):
            assert (label != other) or np.array_equal(policy.at(0)[s], policy.at(0)[t])


def test_labels_may_depend_on_the_step_and_be_strings() -> None:
    labels = np.array([["a"] * 8, ["b"] * 8, ["a"] * 8, ["c"] * 8])
    policy = members(pc.Aggregated(labels).layout(CHAIN.game), np.random.default_rng(0))
    assert policy.num_steps == 4
    assert np.array_equal(policy.at(0), policy.at(2))
    assert not np.array_equal(policy.at(0), policy.at(1))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", ["tabular", "stationary", "aggregated", "mixture"])
def test_the_program_is_the_largest_weighted_distance_of_its_point(seed: int, kind: str) -> None:
    game, rng = random_case(2 * seed + 1).game, np.random.default_rng(seed)
    if not game.joint_legal.all() and kind == "aggregated":
        kind = "stationary"
    expert = random_policy(rng, game, game.horizon)
    policy_class = {
        "tabular": pc.Tabular(),
        "stationary": pc.Stationary(),
        "aggregated": pc.Aggregated(np.zeros(game.num_states, dtype=int)),
        "mixture": pc.Mixture([random_policy(rng, game), mo.CorrelatedPolicy.uniform(game)]),
    }[kind]
    weights = rng.random((3, game.horizon or 1, game.num_states))
    known = rng.random((game.horizon or 1, game.num_states)) < 0.8
    program = mo.programs.imitation(game, expert.probabilities, weights, policy_class, known=known)
    solution = solve(program).require_optimal()
    layout = policy_class.layout(game)
    apart = np.abs(layout.sigma(solution["x"]) - expert.probabilities).sum(axis=2) / 2
    losses = (weights * np.where(known, apart, 1.0)).sum(axis=(1, 2))
    assert solution.objective == pytest.approx(losses.max(), abs=1e-7)
    for _ in range(20):  # no policy of the class does better
        sigma = np.stack([members(layout, rng).at(h) for h in range(game.horizon or 1)])
        other = np.abs(sigma - expert.probabilities).sum(axis=2) / 2
        assert (weights * np.where(known, other, 1.0)).sum(axis=(1, 2)).max() >= solution.objective - 1e-7


def test_constraints_hold_and_are_named_where_they_exclude_each_other() -> None:
    game = mo.scenarios.chicken()
    target = [[[1.0, 0.0, 0.0, 0.0]]]
    capped = pc.Tabular().subject_to(target, upper=0.25, name="accidents")
    program = mo.programs.imitation(game, target, [[1.0]], capped)
    assert solve(program)["x"][0, 0] == pytest.approx(0.25)
    several = capped.subject_to(sparse.eye_array(4), lower=0.1, name="everything").subject_to(
        np.array([[1.0, 1.0, 0.0, 0.0]]), lower=0.5, name="mostly daring"
    )
    solve(mo.programs.imitation(game, target, [[1.0]], several)).require_optimal()
    impossible = several.subject_to([[0.0, 1.0, 0.0, 0.0]], upper=0.2, name="no daring alone")
    with pytest.raises(mo.errors.InfeasibleClass) as caught:
        mo.programs.imitation(game, target, [[1.0]], impossible)
    message = str(caught.value)
    assert all(name in message for name in ("accidents", "mostly daring", "no daring alone"))
    assert "everything" not in message
    assert "none can be spared" in message


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: pc.Aggregated([0, 1]), "labels have shape"),
        (lambda: pc.Aggregated(np.zeros(8)), "integers or strings"),
        (lambda: pc.Tabular(steps=7), "steps is 7"),
        (lambda: pc.Mixture([]), "at least one policy"),
        (pc.Occupancies, "polytope of occupancies"),
        (lambda: pc.EpisodeMixture([CHAIN.expert]), "polytope of occupancies"),
        (lambda: pc.Tabular().subject_to(np.ones(3), upper=1.0), "coefficients have shape"),
        (lambda: pc.Tabular().subject_to(np.full((4, 8, 4), np.inf), upper=1.0), "not finite"),
        (lambda: pc.Tabular().subject_to(np.ones((2, 128)), upper=[1.0, 1.0, 1.0]), "make 2 rows"),
        (lambda: pc.Tabular().subject_to(np.ones((4, 8, 4)), lower=2.0, upper=1.0), "make no sense"),
        (lambda: pc.Tabular, "give an object"),
        (lambda: "tabular", "give an object"),
    ],
)
def test_classes_that_do_not_fit_are_refused(make: Any, words: str) -> None:
    shown = mo.Demonstrations.from_policy(CHAIN.game, CHAIN.expert)
    with pytest.raises(mo.errors.InvalidPolicyClass, match=words):
        mo.behavior_cloning(CHAIN.game, shown, policy_class=make())


def test_a_row_without_a_legal_joint_action_is_named() -> None:
    legal = [np.array([[True, False], [False, True]]), None]
    game = mo.MarkovGame(np.zeros((2, 4), dtype=int), np.zeros((2, 2, 4)), [1.0, 0.0], (2, 2), horizon=2, legal=legal)
    with pytest.raises(mo.errors.InfeasibleClass, match="states 0, 1 share a row"):
        pc.Aggregated([0, 0]).layout(game)


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        ({"target": np.ones((2, 8, 4))}, mo.errors.PolicyShape),
        ({"target": np.full((8, 4), 0.5)}, mo.errors.PolicyNumber),
        ({"weights": np.ones(8)}, mo.errors.PolicyShape),
        ({"weights": -np.ones((4, 8))}, mo.errors.PolicyNumber),
        ({"known": np.ones(3, dtype=bool)}, mo.errors.PolicyShape),
        ({"known": np.ones(8)}, mo.errors.PolicyShape),
    ],
)
def test_programs_of_another_shape_are_refused(parts: dict[str, Any], error: type[Exception]) -> None:
    given: dict[str, Any] = {"target": CHAIN.expert.probabilities, "weights": np.ones((4, 8)), **parts}
    with pytest.raises(error):
        mo.programs.imitation(CHAIN.game, **given)
