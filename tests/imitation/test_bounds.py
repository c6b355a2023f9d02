"""Bounds on what learners minimise against optima in fractions, with everything that is rounded: none may be on the
wrong side, and all are narrow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from random import Random
from typing import Any

import numpy as np
import pytest

import mailopt as mo
from mailopt.imitation import demonstrations
from mailopt_solvers import ExactProgram, solve_exact
from tests import oracle
from tests.exact_classes import COARSE, EXTERNAL, SWAP, exact_policy_of, library_policy
from tests.exact_games import Case
from tests.hostile_games import HAZARDS, hostile_case
from tests.imitation import imitation_oracle as exact
from tests.imitation.test_against_oracle import paths, random_policy, small_case
from tests.oracle import ExactGame, Policy, Row, at

Measure = list[list[Row]]
ZERO, ONE = Fraction(0), Fraction(1)
NORMS = ["box", "linf", "l1", "simplex"]
NARROW = 1e-9


@dataclass
class Program:
    """A minimisation that grows by columns and rows, in fractions."""

    costs: list[Fraction] = field(default_factory=list)
    lower: list[Fraction | None] = field(default_factory=list)
    rows: list[tuple[dict[int, Fraction], Fraction | None, Fraction | None]] = field(default_factory=list)

    def add(self, cost: Fraction = ZERO, lower: Fraction | None = ZERO) -> int:
        self.costs.append(cost)
        self.lower.append(lower)
        return len(self.costs) - 1

    def require(self, terms: dict[int, Fraction], lower: Fraction | None, upper: Fraction | None) -> None:
        self.rows.append((terms, lower, upper))

    def optimum(self) -> Fraction:
        matrix = {(i, j): a for i, (terms, _, _) in enumerate(self.rows) for j, a in terms.items() if a}
        sides = [lower for _, lower, _ in self.rows], [upper for _, _, upper in self.rows]
        program = ExactProgram(self.costs, matrix, *sides, self.lower, [None] * len(self.costs))
        return Fraction(solve_exact(program).require_optimal().objective)


def places(measure: Sequence[Sequence[Row]]) -> Iterator[tuple[int, int, int]]:
    return product(range(len(measure)), range(len(measure[0])), range(len(measure[0][0])))


def merged(game: ExactGame, measure: Measure) -> Measure:
    """Discounted: one row for all stages."""
    if game.horizon is not None:
        return measure
    total = measure[0]
    for step in measure[1:]:
        total = oracle.add(total, step)
    return [total]


# Moment matching in fractions


def occupancies(program: Program, game: ExactGame, stages: int) -> dict[tuple[int, int, int], dict[int, Fraction]]:
    """Variables for every occupancy, with their flow; an entry is a combination of them."""
    legal = {(s, a) for s in game.states for a, ok in enumerate(exact.legal_joint(game, s)) if ok}
    mu = {(h, s, a): program.add() for h in range(stages) for s, a in sorted(legal)}
    for h, t in product(range(stages), game.states):
        terms: dict[int, Fraction] = {}
        for (g, s, a), column in mu.items():
            arrives = g == h - 1 if game.horizon is not None else True
            share = game.discount * at(game.transitions, g)[s][a][t] if arrives else ZERO
            terms[column] = Fraction(int((g, s) == (h, t))) - share
        start = game.initial[t] if h == 0 else ZERO
        start *= ONE if game.horizon is not None else 1 - game.discount
        program.require(terms, start, start)
    return {place: {column: ONE} for place, column in mu.items()}


def mixtures(program: Program, members: Sequence[Measure]) -> dict[tuple[int, int, int], dict[int, Fraction]]:
    """Weights of given occupancies."""
    shares = [program.add() for _ in members]
    program.require(dict.fromkeys(shares, ONE), ONE, ONE)
    return {
        (h, s, a): {share: member[h][s][a] for share, member in zip(shares, members, strict=True)}
        for h, s, a in places(members[0])
    }


def least_distance(
    game: ExactGame,
    measure: Measure,
    features: Sequence[Measure] | None,
    norm: str,
    *,
    members: Sequence[Measure] | None = None,
    limits: Sequence[tuple[Measure, Fraction]] = (),
) -> Fraction:
    """Min over the class of max_f <f, mu_E - mu>; ``limits`` are <C, mu> <= end."""
    program = Program()
    mu = occupancies(program, game, len(measure)) if members is None else mixtures(program, members)

    def moment(weights: Measure) -> dict[int, Fraction]:
        terms: dict[int, Fraction] = {}
        for (h, s, a), entry in mu.items():
            for column, share in entry.items():
                terms[column] = terms.get(column, ZERO) + weights[h][s][a] * share
        return terms

    for weights, end in limits:
        program.require(moment(weights), None, end)
    units = features if features is not None else [unit(measure, place) for place in places(measure)]
    aims = [inner(weights, measure) for weights in units]
    if norm in ("box", "linf"):
        for weights, aim in zip(units, aims, strict=True):
            under, over = program.add(ONE), program.add(ONE)
            program.require(moment(weights) | {under: ONE, over: -ONE}, aim, aim)
    else:
        bound = program.add(ONE, None)
        for weights, aim in zip(units, aims, strict=True):
            terms = moment(weights)
            program.require({bound: ONE} | terms, aim, None)
            if norm == "l1":
                program.require({bound: ONE} | {j: -c for j, c in terms.items()}, -aim, None)
    return program.optimum()


def unit(measure: Measure, place: tuple[int, int, int]) -> Measure:
    return [
        [[Fraction(int((h, s, a) == place)) for a in range(len(row))] for s, row in enumerate(step)]
        for h, step in enumerate(measure)
    ]


def inner(x: Measure, y: Measure) -> Fraction:
    return sum((oracle.dot(p, q) for a, b in zip(x, y, strict=True) for p, q in zip(a, b, strict=True)), ZERO)


def distance(measure: Measure, ours: Measure, features: Sequence[Measure] | None, norm: str) -> Fraction:
    """max_f <f, mu_E - mu>."""
    apart = [[[a - b for a, b in zip(p, q, strict=True)] for p, q in zip(x, y, strict=True)]
             for x, y in zip(measure, ours, strict=True)]  # fmt: skip
    if features is None:
        return sum((abs(x) for step in apart for row in step for x in row), ZERO)
    moments = [inner(weights, apart) for weights in features]
    if norm == "linf":
        return sum(map(abs, moments), ZERO)
    return max(map(abs, moments)) if norm == "l1" else max(moments)


def fractions(nested: Any) -> Any:
    return [fractions(part) for part in nested] if isinstance(nested, list) else Fraction(nested)


def shown(seed: int, case: Case) -> tuple[mo.Demonstrations, Measure]:
    """What is known of the expert in one of the ways that there are, and the same in fractions."""
    rng, game, kind = Random(seed), case.exact_game, seed % 4
    if kind == 0:
        return mo.Demonstrations.from_policy(case.game, case.sigma), exact.stage_measure(game, case.exact_sigma)
    if kind == 1:
        stages = game.horizon or rng.choice([1, 2])
        legal = [exact.legal_joint(game, s) for s in game.states]
        sizes = [1 / 3, 0.1, 1e-9, 7.0, 1e5]
        counts = [[[rng.choice(sizes) * ok for ok in row] for row in legal] for _ in range(stages)]
        measure = fractions(counts)
        if game.horizon is None:
            total = inner(measure, fractions([[[1] * len(row) for row in legal]] * stages))
            return mo.Demonstrations.from_counts(case.game, counts), [
                [[x / total for x in row] for row in step] for step in measure
            ]
        return mo.Demonstrations.from_counts(case.game, counts), [exact.normalised_step(step) for step in measure]
    states, joints = paths(rng, game, case.exact_sigma, 5, case.horizon or 7)
    weights = [rng.choice([1 / 3, 0.7, 1e-6, 3e4]) for _ in states] if kind == 2 else None
    return mo.Demonstrations(case.game, states, joints, weights=weights), exact.counted(game, states, joints, weights)


def features_of(seed: int, measure: Measure, norm: str) -> tuple[dict[str, Any], list[Measure] | None]:
    if norm == "box":
        return {}, None
    rng = np.random.default_rng(seed)
    shape = (3, len(measure), len(measure[0]), len(measure[0][0]))
    array = rng.normal(size=shape) * 10.0 ** rng.integers(-4, 5, shape) if seed % 2 else rng.integers(-3, 4, shape) / 3
    return {"features": array, "norm": norm}, fractions(array.tolist())


def check_matching(
    found: mo.MomentMatching, case: Case, measure: Measure, features: Any, norm: str, **of: Any
) -> float:
    """Least distance and the policy's are within the bounds; returns the width relative to what features can make."""
    game = case.exact_game
    least = least_distance(game, measure, features, norm, **of)
    assert Fraction(found.distance_lower) <= least <= Fraction(found.distance_upper)
    policy = [at(exact_policy_of(found.policy), h) for h in range(game.horizon or 1)]
    own = distance(measure, merged(game, exact.stage_measure(game, policy)), features, norm)
    assert own <= Fraction(found.distance_upper)
    assert found.distance_lower <= found.distance + 1e-300
    assert (found.history[0].objective_lower, found.history[0].objective_upper) == (
        found.distance_lower,
        found.distance_upper,
    )
    scale = 1.0 if features is None else float(sum(max(abs(x) for s in f for r in s for x in r) for f in features))
    return (found.distance_upper - found.distance_lower) / (scale * len(measure))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", range(16))
def test_the_least_distance_of_occupancies(seed: int, norm: str) -> None:
    case = small_case(seed, discounted=seed % 5 == 2)
    demonstrations, given = shown(seed, case)
    measure = merged(case.exact_game, given)
    options, features = features_of(seed, measure, norm)
    found = mo.inverse_reinforcement_learning(case.game, demonstrations, **options)
    assert check_matching(found, case, measure, features, norm) <= NARROW


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", range(6))
def test_the_least_distance_of_mixtures(seed: int, norm: str) -> None:
    case = small_case(seed, discounted=seed % 3 == 2)
    game = case.exact_game
    demonstrations, given = shown(seed, case)
    measure = merged(game, given)
    policies = [random_policy(Random(seed + k), game, game.horizon or 1 + k) for k in range(3)]
    options, features = features_of(seed, measure, norm)
    members = mo.policy_classes.EpisodeMixture([library_policy(policy) for policy in policies])
    found = mo.inverse_reinforcement_learning(case.game, demonstrations, policy_class=members, **options)
    measures = [merged(game, exact.stage_measure(game, policy)) for policy in policies]
    assert check_matching(found, case, measure, features, norm, members=measures) <= NARROW


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", range(6))
def test_nothing_beats_the_bound_under_constraints(seed: int, norm: str) -> None:
    """A constraint that binds, with coefficients that are no small integers."""
    case = small_case(seed, discounted=seed % 3 == 2)
    game, rng = case.exact_game, np.random.default_rng(seed)
    demonstrations, given = shown(seed, case)
    measure = merged(game, given)
    row = rng.normal(size=(len(measure), len(measure[0]), len(measure[0][0])))
    inside = exact.stage_measure(game, [at(random_policy(Random(seed), game, 1), 0)] * len(measure))
    end = float(inner(fractions(row.tolist()), inside)) + 1e-3
    options, features = features_of(seed, measure, norm)
    limited = mo.policy_classes.Occupancies().subject_to(row if game.horizon else row[0], upper=end)
    found = mo.inverse_reinforcement_learning(case.game, demonstrations, policy_class=limited, **options)
    least = least_distance(game, measure, features, norm, limits=[(fractions(row.tolist()), Fraction(end))])
    assert Fraction(found.distance_lower) <= least
    scale = 1.0 if features is None else float(sum(max(abs(x) for s in f for r in s for x in r) for f in features))
    assert float(least) - found.distance_lower <= NARROW * scale * len(measure)
    assert abs(found.distance_upper - float(least)) <= 1e-6 * scale * len(measure)


@pytest.mark.parametrize("hazard", [hazard for hazard in HAZARDS if hazard in ("plain", "illegal", "rows", "tiny")])
@pytest.mark.parametrize("seed", range(8))
def test_rows_that_do_not_sum_to_one(seed: int, hazard: Any) -> None:
    """A program takes rounded rows for exact; the bound does not."""
    case = hostile_case(seed, hazard)
    demonstrations, given = shown(seed, case)
    measure = merged(case.exact_game, given)
    for norm in ("box", "simplex"):
        options, features = features_of(seed, measure, norm)
        found = mo.inverse_reinforcement_learning(case.game, demonstrations, **options)
        assert check_matching(found, case, measure, features, norm) <= NARROW


def absorbed(count: int) -> tuple[mo.MarkovGame, mo.Demonstrations, Measure]:
    """One state and two actions; one has a weight of 1, the other as well, and many that vanish when added to it."""
    game = mo.MarkovGame(np.ones((1, 2, 1)), np.zeros((1, 1, 2)), [1.0], (2,), horizon=1)
    weights = [1.0, 1.0, *[2.0**-54] * count]
    plays = np.array([[0], [1], *[[1]] * count])
    given = mo.Demonstrations(game, np.zeros_like(plays), plays, weights=weights)
    total = 2 + Fraction(count, 2**54)
    return game, given, [[[1 / total, 1 - 1 / total]]]


def misses(count: int) -> bool:
    """Whether bounds miss the least distance to a single policy."""
    game, given, measure = absorbed(count)
    only = mo.policy_classes.EpisodeMixture([mo.CorrelatedPolicy([[0.25, 0.75]])])
    features = [[[[1.0, 1 / 3]]]]
    found = mo.inverse_reinforcement_learning(game, given, policy_class=only, features=features, norm="simplex")
    least = least_distance(
        oracle.exact_game([[[[1], [1]]]], [[[[0, 0]]]], [1], (2,), horizon=1), measure, fractions(features), "simplex",
        members=[[[[Fraction(1, 4), Fraction(3, 4)]]]],
    )  # fmt: skip
    return not Fraction(found.distance_lower) <= least <= Fraction(found.distance_upper)


def test_losses_against_what_was_shown() -> None:
    """The policy is what the sums of doubles say, which is not quite what was shown."""
    game, given, measure = absorbed(4000)
    cloned = mo.behavior_cloning(game, given)
    true = exact.total_variation(exact_policy_of(cloned.policy)[0][0], measure[0][0])
    assert true > Fraction(1, 10**14)
    (only,) = cloned.history
    assert only.objective == 0.0
    assert only.objective_upper is not None
    for upper in (only.objective_upper, only.loss_upper):
        assert true <= Fraction(upper) <= 1e-11


def test_demonstrations_are_rounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a sum of weights swallows is in the bounds; without the error of the data they would miss."""
    assert not misses(4000)
    monkeypatch.setattr(demonstrations, "gamma", lambda _: 0.0)
    assert misses(4000)


@pytest.mark.parametrize("seed", range(24))
def test_how_far_demonstrations_are_off(seed: int) -> None:
    case = small_case(seed, discounted=seed % 3 == 2)
    demonstrations, given = shown(seed, case)
    occupancy = fractions(demonstrations.occupancy.tolist())
    off = distance(given, occupancy, None, "box")
    assert off <= Fraction(demonstrations.error) <= Fraction(1, 10**12)
    known, rows = exact.known_rows(given), demonstrations.rows.tolist()
    for h, s in product(range(len(given)), case.exact_game.states):
        row = known[h][s]
        for a, p in enumerate(row or ()):
            assert abs(Fraction(rows[h][s][a]) - p) <= p * (demonstrations.roundings + 3 * len(rows[h][s]) + 8) / 2**53


# Imitation in fractions

Map = dict[tuple[int, int, int], dict[int, Fraction]]  # an entry of sigma from the parameters


def shared(program: Program, game: ExactGame, labels: Sequence[Sequence[int]]) -> Map:
    """Policies whose rows are the same where labels are."""
    rows: dict[int, list[int]] = {}
    sigma: Map = {}
    for h, step in enumerate(labels):
        for s, label in enumerate(step):
            if label not in rows:
                rows[label] = [program.add() for _ in game.joint_actions]
                program.require(dict.fromkeys(rows[label], ONE), ONE, ONE)
            for a, ok in enumerate(exact.legal_joint(game, s)):
                sigma[h, s, a] = {rows[label][a]: ONE}
                if not ok:
                    program.require({rows[label][a]: ONE}, ZERO, ZERO)
    return sigma


def mixed(program: Program, game: ExactGame, policies: Sequence[Policy], stages: int) -> Map:
    """At every state a mixture of given policies, the same at all steps."""
    sigma: Map = {}
    for s in game.states:
        shares = [program.add() for _ in policies]
        program.require(dict.fromkeys(shares, ONE), ONE, ONE)
        for h, a in product(range(stages), range(len(game.joint_actions))):
            sigma[h, s, a] = {x: at(policy, h)[s][a] for x, policy in zip(shares, policies, strict=True)}
    return sigma


def least_loss(program: Program, sigma: Map, known: exact.Known, weightings: Sequence[Sequence[Row]]) -> Fraction:
    """Min over the class of max over weightings of sum w TV, or of w where nothing is known."""
    over: dict[tuple[int, int, int], int] = {}
    for (h, s, a), entry in sigma.items():
        row = at(known, h)[s]
        if row is not None:  # p >= sigma - target, p >= 0: rows sum to one
            over[h, s, a] = program.add()
            program.require({over[h, s, a]: ONE} | {x: -c for x, c in entry.items()}, -row[a], None)
    theta = program.add(ONE)
    for weights in weightings:
        constant = sum((w for h, row in enumerate(weights) for s, w in enumerate(row) if at(known, h)[s] is None), ZERO)
        program.require({theta: ONE} | {p: -weights[h][s] for (h, s, _), p in over.items()}, constant, None)
    return program.optimum()


def limit(program: Program, sigma: Map, coefficients: Any, end: float) -> None:
    """<C, sigma> <= end."""
    terms: dict[int, Fraction] = {}
    for (h, s, a), entry in sigma.items():
        for x, share in entry.items():
            terms[x] = terms.get(x, ZERO) + Fraction(coefficients[h][s][a]) * share
    program.require(terms, None, Fraction(end))


def classes(seed: int, game: ExactGame, stages: int) -> Iterator[tuple[Any, Program, Map]]:
    """Classes of policies in the library and in fractions."""
    rng = Random(seed)
    program = Program()
    yield mo.policy_classes.Stationary(), program, shared(program, game, [list(game.states)] * stages)
    if all(exact.legal_joint(game, s) == exact.legal_joint(game, 0) for s in game.states):
        program, labels = Program(), [rng.randrange(2) for _ in game.states]
        yield mo.policy_classes.Aggregated(labels), program, shared(program, game, [labels] * stages)
    policies = [random_policy(rng, game, rng.choice([1, stages])) for _ in range(3)]
    program = Program()
    given = mo.policy_classes.Mixture([library_policy(p) for p in policies])
    yield given, program, mixed(program, game, policies, stages)


@pytest.mark.parametrize("seed", range(16))
def test_the_least_distance_of_cloning(seed: int) -> None:
    case = small_case(seed, discounted=seed % 5 == 2)
    game = case.exact_game
    demonstrations, measure = shown(seed, case)
    known = exact.known_rows(measure)
    weights = [[sum(row, ZERO) for row in step] for step in measure]
    for given, program, sigma in classes(seed, game, len(measure)):
        least = least_loss(program, sigma, known, [weights])
        (only,) = mo.behavior_cloning(case.game, demonstrations, policy_class=given).history
        assert only.objective_lower is not None
        assert only.objective_upper is not None
        assert Fraction(only.objective_lower) <= least <= Fraction(only.objective_upper)
        assert only.objective_upper - only.objective_lower <= NARROW * len(measure)


@pytest.mark.parametrize("seed", range(8))
def test_cloning_under_constraints(seed: int) -> None:
    """Whose coefficients add up where states share a row, and are multiplied by policies of a mixture."""
    case = small_case(seed, discounted=seed % 5 == 2)
    game, rng = case.exact_game, np.random.default_rng(seed)
    demonstrations, measure = shown(seed, case)
    known, stages = exact.known_rows(measure), len(measure)
    weights = [[sum(row, ZERO) for row in step] for step in measure]
    for given, program, sigma in classes(seed, game, stages):
        row = rng.normal(size=(stages, len(game.states), len(game.joint_actions))) / 3
        uniform = np.zeros(row.shape)
        for h, s in product(range(stages), game.states):
            uniform[h, s] = exact.legal_joint(game, s)
        if isinstance(given, mo.policy_classes.Mixture):
            uniform = np.array([[np.mean([p.at(h)[s] for p in given.policies], axis=0) for s in game.states]
                                for h in range(stages)])  # fmt: skip
        end = float((row * uniform / uniform.sum(axis=2, keepdims=True)).sum())
        limit(program, sigma, row.tolist(), end)
        least = least_loss(program, sigma, known, [weights])
        limited = given.subject_to(row, upper=end)
        (only,) = mo.behavior_cloning(case.game, demonstrations, policy_class=limited).history
        assert only.objective_lower is not None
        assert only.objective_upper is not None
        assert Fraction(only.objective_lower) <= least
        assert float(least) - only.objective_lower <= NARROW * stages
        assert abs(only.objective_upper - float(least)) <= 1e-6


def test_coefficients_that_cancel() -> None:
    """In doubles the coefficients of a shared row add up to 1, in truth to 0: a constraint that is none."""
    game = mo.MarkovGame(np.ones((1, 2, 1)), np.zeros((1, 1, 2)), [1.0], (2,), horizon=4)
    given = mo.Demonstrations.from_policy(game, mo.CorrelatedPolicy([[1.0, 0.0]]))
    terms = np.zeros((4, 1, 2))
    terms[:, 0, 0] = [-1e16, -1.0, 1e16, 1.0]
    limited = mo.policy_classes.Stationary().subject_to(terms, upper=0.25)
    (only,) = mo.behavior_cloning(game, given, policy_class=limited).history
    assert only.objective == pytest.approx(3.0)  # of the program of doubles
    assert only.objective_lower == 0.0  # obeying satisfies what was asked for


def test_counting_is_enclosed_from_above() -> None:
    """It minimises no distance, so that there is none to bound from below."""
    case = small_case(3)
    demonstrations, measure = shown(3, case)
    found = mo.behavior_cloning(
        case.game, demonstrations, method="counting", policy_class=mo.policy_classes.Stationary()
    )
    (only,) = found.history
    assert only.objective_lower is None
    assert only.objective_upper is not None
    true = exact.cloning_loss(measure, exact_policy_of(found.policy))
    assert true <= Fraction(only.objective_upper) <= true + Fraction(1, 10**12)


@pytest.mark.parametrize("paired", [SWAP, EXTERNAL, COARSE], ids=lambda paired: repr(paired.library))
@pytest.mark.parametrize("seed", range(5))
def test_the_minimax_of_malice(seed: int, paired: Any) -> None:
    rng = Random(seed)
    case = small_case(
        5 * seed,
        discounted=seed == 4,
        horizon=2 if seed < 4 else None,
        numbers=rng.choice(["fractions", "doubles"]),
        expert_steps=1 if seed == 4 else 2,
    )
    game, expert = case.exact_game, case.exact_sigma
    if paired is SWAP and (len(game.initial) > 3 or game.horizon is None):
        pytest.skip("too many deviations to list")
    demonstrations = mo.Demonstrations.from_policy(case.game, case.sigma)
    known = exact.known_rows(exact.stage_measure(game, expert))
    weightings = exact.exact_visits(game, expert, paired.maps)
    for given, program, sigma in classes(seed, game, len(known)):
        least = least_loss(program, sigma, known, weightings)
        found = mo.malice(
            case.game,
            demonstrations,
            policy_class=given,
            deviations=paired.library,
            rule="expert_occupancy",
            expert=case.sigma,
            uncovered="charge",
            tolerance=1e-10,
        )
        assert found.minimax is not None
        lower, upper = found.minimax
        assert Fraction(lower) <= least <= Fraction(upper)
        assert upper - lower <= NARROW * len(weightings[0]) / (1 - float(game.discount) if game.horizon is None else 1)
