"""Claim: matching the expert wherever it goes leaves the regret open, and the constants of theory say by how much.

On the chain games of Tang et al. (2024): the interval in which the regret of a learner lies that is known only where
the expert goes, what each class of deviations gains, what a budget of departures gains, and the regret gap beside the
bound that coverage, recoverability and the deviation-weighted loss put on it.
"""

import mailopt as mo

HORIZON = 8


def main() -> None:
    chain = mo.scenarios.unvisited_chain(HORIZON)
    game, expert, learner = chain.game, chain.expert, chain.learner
    known = mo.occupancy(game, expert).sum(axis=2) > 0
    interval = mo.regret_interval(game, learner, known)
    first = interval.priorities[0]
    print(f"known only on the expert's path: the regret is between {interval.lower:g} and {interval.upper:.12g}")
    print(f"asking the expert at step {first.step} in {game.state_name(first.state)} could take {first.weight:g} off")
    assert abs(interval.upper - (HORIZON - 1)) < 1e-12

    print("\nregret of the learner, by what agents may do")
    for deviations in (mo.Swap(), mo.External(), mo.Internal(), mo.Limited(1), mo.Budget(0.25), mo.Stationary()):
        found = mo.regret(game, learner, deviations)
        print(f"  {deviations!r:<20} {found.value:<8.6g} within {found.upper - found.lower:.0e}, by {found.method}")
    curve = mo.budget_curve(game, learner)
    points = zip(curve.kappas, curve.values, strict=True)
    print("  gain against expected departures:", ", ".join(f"({kappa:g}, {gain:g})" for kappa, gain in points))

    print("\nlearners that err with probability 1% of the expert's visits")
    print("  coverage   L        regret gap  2 w L    4 u L")
    for coverage in (0.05, 0.1, 0.2, 0.4):
        chain = mo.scenarios.covered_chain(HORIZON, coverage=coverage, error=0.01)
        gap = mo.regret_gap(chain.game, chain.learner, chain.expert)
        bound = mo.regret_gap_bound(chain.game, chain.learner, chain.expert)
        beta = mo.coverage(chain.game, chain.expert)
        print(f"  {beta.value:<10g} {bound.loss:<8.4f} {gap.value:<11.4f} {bound.span:<8.4f} {bound.absolute:.4f}")
        assert gap.upper <= bound.value


if __name__ == "__main__":
    main()
