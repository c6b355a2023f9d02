"""Claim: any concave objective of your own can be put on equilibria and on occupancies.

The constraint builders return vectorised constraints on cvxpy variables. Here: the correlated equilibrium that
maximises the Nash product (the sum of log values), beside the one that is best in sum and the one that is best for the
worst off; and the occupancy of a Markov game that is as spread out as can be while it gives nine tenths of the best
welfare.
"""

from typing import Any

import cvxpy
import numpy as np

import mailopt as mo

cp: Any = cvxpy  # its names are made at run time


def main() -> None:
    rng = np.random.default_rng(20)
    game = mo.MarkovGame.from_normal_form(rng.integers(1, 10, (2, 3, 3)))

    sigma = cp.Variable(9)
    values = game.reward(0)[:, 0] @ sigma
    cp.Problem(cp.Maximize(cp.sum(cp.log(values))), mo.cvx.obedience(game, sigma)).solve(solver=cp.CLARABEL)
    row = np.maximum(sigma.value, 0.0)
    policies = {
        "largest sum": mo.correlated_equilibrium(game).policy,
        "largest product": mo.CorrelatedPolicy([row / row.sum()]),
        "largest minimum": mo.correlated_equilibrium(game, objective="egalitarian").policy,
    }
    print("correlated equilibria of a 3 x 3 game   values           product   regret at most")
    products = {}
    for name, policy in policies.items():
        first, second = mo.values(game, policy).value
        products[name] = first * second
        regret = mo.regret(game, policy).upper
        print(f"  {name:<36} {first:6.3f} {second:6.3f}   {products[name]:8.3f}   {regret:.0e}")
        assert regret < 1e-6
    assert products["largest product"] >= max(products.values()) - 1e-6

    states, joint, horizon = 4, 4, 5
    markov = mo.MarkovGame(
        rng.dirichlet(np.ones(states), (states, joint)),
        rng.random((2, states, joint)),
        np.full(states, 1 / states),
        (2, 2),
        horizon=horizon,
    )
    welfare = markov.rewards.sum(axis=0).ravel()
    mu = cp.Variable((horizon, states * joint))
    flow = mo.cvx.flow(markov, mu)
    best = cp.Problem(cp.Maximize(cp.sum(mu @ welfare)), flow).solve(solver=cp.CLARABEL)
    enough = cp.sum(mu @ welfare) >= 0.9 * best
    entropy = cp.Problem(cp.Maximize(cp.sum(cp.entr(mu))), [*flow, enough]).solve(solver=cp.CLARABEL)
    most = horizon * np.log(states * joint)
    print(f"\nthe best welfare of a Markov game is {best:.3f}; the widest occupancy that gives nine tenths of it has")
    print(f"entropy {entropy:.3f}, where a uniform one would have {most:.3f}")
    assert 0 < entropy < most


if __name__ == "__main__":
    main()
