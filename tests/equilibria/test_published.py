"""Published games whose equilibria are known, and the Nash equilibria of Gambit's catalogue."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pygambit
import pytest
from pygambit import catalog

import mailopt as mo

CATALOGUE = [
    name
    for name in catalog.games()["Game"]
    # of imperfect recall, for which Gambit computes no equilibria
    if name.split("/", 1)[1]
    not in (
        "shohamleytonbrown2008/fig5_12",
        "vonstengel2022/fig10.7",
        "geb/gilboa1997/fig1",
        "geb/gilboa1997/fig2",
        "geb/wichardt2008",
    )
]


def payoffs_of(game: Any) -> np.ndarray[Any, Any]:
    """Payoffs in fractions, (m, n_0, .., n_{m-1})."""
    return np.array([np.vectorize(lambda v: Fraction(str(v)), otypes=[object])(a) for a in game.to_arrays()])


def published(name: str) -> mo.MarkovGame:
    return mo.MarkovGame.from_normal_form(payoffs_of(catalog.load(name)))


def swap_regret(payoffs: np.ndarray[Any, Any], x: np.ndarray[Any, Any]) -> Fraction:
    """Largest swap regret of any agent, from the definition."""
    worst = Fraction(0)
    for i in range(len(payoffs)):
        u, p = np.moveaxis(payoffs[i], i, 0), np.moveaxis(x, i, 0)
        n = len(u)
        gains = [max(Fraction(((u[b] - u[a]) * p[a]).sum()) for b in range(n)) for a in range(n)]
        worst = max(worst, sum(gains, start=Fraction(0)))
    return worst


def test_the_best_equilibrium_of_chicken() -> None:
    """Aumann (1974): a device that agents obey beats every mixture of Nash equilibria."""
    best = mo.correlated_equilibrium(mo.scenarios.chicken(), exact=True)
    assert best.exact is not None
    assert best.exact.probabilities.tolist() == [[0, Fraction(1, 4), Fraction(1, 4), Fraction(1, 2)]]
    assert best.exact.objective == Fraction(21, 2)
    assert best.exact.values == (Fraction(21, 4), Fraction(21, 4))
    assert best.exact.regret == 0
    assert best.unique is True
    # Aumann's own device, a third each, is an equilibrium too.
    third = mo.CorrelatedPolicy([[0, Fraction(1, 3), Fraction(1, 3), Fraction(1, 3)]])
    assert mo.correlated_equilibrium_polytope(mo.scenarios.chicken()).contains(third)
    price = best.exact.multipliers[0]
    assert price[1, 0] == Fraction(3, 4)
    assert [price[0, 0], price[0, 1], price[1, 1]] == [0, 0, 0]


def test_shapleys_game() -> None:
    """The six cells in which somebody wins, a sixth each: welfare 1, and the only equilibrium that gives it."""
    best = mo.correlated_equilibrium(mo.scenarios.shapley(), exact=True)
    assert best.exact is not None
    sixth, none = Fraction(1, 6), Fraction(0)
    assert best.exact.probabilities.tolist() == [[sixth, sixth, none, none, sixth, sixth, sixth, none, sixth]]
    assert best.exact.objective == 1
    assert best.exact.regret == 0
    assert best.unique is True


def test_the_signaling_game_of_von_stengel_and_forges() -> None:
    """Von Stengel and Forges (2008), figure 1: all correlated equilibria of the strategic form pay (0, 6)."""
    game = published("journals/mor/vonstengelforges2008/fig1")
    for agent, pays in ((0, 0), (1, 6)):
        for sign in (1, -1):
            weights = [sign if i == agent else 0 for i in range(2)]
            found = mo.correlated_equilibrium(game, objective=mo.objectives.Weighted(weights), exact=True)
            assert found.exact is not None
            assert found.exact.objective == sign * pays
    assert mo.payoff_region(game).vertices == pytest.approx(np.array([[0.0, 6.0]]))
    coarse = mo.correlated_equilibrium(
        game, deviations=mo.External(), objective=mo.objectives.Preferred(0), exact=True
    ).exact
    assert coarse is not None
    assert coarse.objective is not None
    assert coarse.objective > 0


@pytest.mark.parametrize(
    ("section", "dimension", "vertices"), [("sec3", 3, 5), ("sec4", 7, 33), ("sec5", 7, 8), ("sec6", 4, 6)]
)
def test_the_polytopes_of_nau_gomez_canovas_and_hansen(section: str, dimension: int, vertices: int) -> None:
    """Nau, Gomez Canovas and Hansen, On the geometry of Nash equilibria and correlated equilibria (IJGT 2004)."""
    game = published(f"journals/ijgt/nau2004/{section}")
    polytope = mo.correlated_equilibrium_polytope(game)
    assert (polytope.dimension, len(polytope.vertices)) == (dimension, vertices)
    payoffs = payoffs_of(catalog.load(f"journals/ijgt/nau2004/{section}"))
    for vertex in polytope.vertices:
        assert swap_regret(payoffs, np.array(vertex, dtype=object).reshape(payoffs.shape[1:])) == 0
    if section == "sec3":
        assert polytope.num_facets == 6  # a hexahedron


@pytest.mark.parametrize("name", CATALOGUE)
def test_nash_equilibria_are_correlated_equilibria(name: str) -> None:
    """With regret exactly 0, inside the polytope, and no better than the best correlated and coarse equilibria."""
    strategic = catalog.load(name)
    payoffs = payoffs_of(strategic)
    two = len(payoffs) == 2
    game = mo.MarkovGame.from_normal_form(payoffs)
    solve = pygambit.nash.enummixed_solve if two else pygambit.nash.enumpure_solve
    found = solve(strategic, rational=True) if two else solve(strategic)
    small = game.num_joint_actions <= 9
    polytope = mo.correlated_equilibrium_polytope(game) if small else None
    best = mo.correlated_equilibrium(game).objective
    coarse = mo.correlated_equilibrium(game, deviations=mo.External()).objective
    assert best is not None
    assert coarse is not None
    scale = float(np.abs(payoffs.astype(np.float64)).max()) or 1.0
    assert best <= coarse + 1e-9 * scale
    for profile in found.equilibria:
        factors = [[[Fraction(str(p)) for _, p in strategy]] for strategy in profile]
        policy = mo.CorrelatedPolicy.product(factors)
        x = policy.fractions().reshape(payoffs.shape[1:])
        assert swap_regret(payoffs, x) == 0
        assert polytope is None or polytope.contains(policy)
        assert abs(mo.regret(game, policy).value) <= 1e-12 * scale
        assert float((payoffs.sum(axis=0) * x).sum()) <= best + 1e-9 * scale


@pytest.mark.parametrize("section", ["sec4", "sec5", "sec6"])
def test_irrational_nash_equilibria_are_nearly_correlated_equilibria(section: str) -> None:
    """Three agents: Gambit's roots are doubles."""
    strategic = catalog.load(f"journals/ijgt/nau2004/{section}")
    game = mo.MarkovGame.from_normal_form(payoffs_of(strategic))
    for profile in pygambit.nash.enumpoly_solve(strategic).equilibria:
        factors = [np.array([[float(p) for _, p in strategy]]) for strategy in profile]
        policy = mo.CorrelatedPolicy.product([f / f.sum() for f in factors])
        assert mo.regret(game, policy).value <= 1e-6


def test_two_actions_each_make_coarse_equilibria_correlated_ones() -> None:
    """If every agent has two actions, the two polytopes are the same."""
    rng = np.random.default_rng(0)
    for agents in (1, 2, 3):
        game = mo.MarkovGame.from_normal_form(rng.integers(-5, 6, (agents, *(2,) * agents)))
        polytopes = [mo.correlated_equilibrium_polytope(game, d).vertices for d in (mo.Swap(), mo.External())]
        assert polytopes[0] == polytopes[1]


def test_most_entropy_is_uniform_where_nobody_cares() -> None:
    game = mo.MarkovGame.from_normal_form(np.zeros((2, 3, 2)))
    assert mo.correlated_equilibrium(game, objective="entropy").objective == pytest.approx(math.log(6))
