"""Claim: a policy with too much regret can be repaired, and the price is known.

A learner copies its expert, but plays badly where the expert never goes. Repair goes backwards and replaces the rows
that tempt an agent by the nearest ones that do not. With some regret allowed it moves less. And what the best
equilibria of the same game look like, in fractions.
"""

import mailopt as mo

HORIZON = 6


def main() -> None:
    chain = mo.scenarios.unvisited_chain(HORIZON)
    game, learner = chain.game, chain.learner
    print(f"regret of the learner: {mo.regret(game, learner).value:g}")
    print("allowed  regret    rows moved  furthest  given up by obeying agents")
    for epsilon in (0, 0.5, 1, 2, 4):
        found = mo.repair(game, learner, epsilon=epsilon)
        moved = int((found.moved > 0).sum())
        print(
            f"{epsilon:<8g} {found.regret.value:<9.5f} {moved:>3} of {found.moved.size:<4} {found.moved.max():8.3f}  "
            f"{found.value_paid.max():8.3f}"
        )
        assert found.regret.upper <= epsilon + 1e-12

    expert_path = mo.occupancy(game, chain.expert).sum(axis=2) > 0
    found = mo.regret_constrained_imitation(game, chain.expert, epsilon=0.25, known=expert_path)
    print(f"\nan expert known on its path alone, completed by the best equilibria: {found}")

    chicken = mo.correlated_equilibrium(mo.scenarios.chicken(), exact=True)
    assert chicken.exact is not None
    print("\nchicken, best correlated equilibrium:", ", ".join(map(str, chicken.exact.probabilities[0])))
    print(f"welfare {chicken.exact.objective}, regret exactly {chicken.exact.regret}, unique: {chicken.unique}")
    print(f"all of them: {mo.correlated_equilibrium_polytope(mo.scenarios.chicken())}")
    assert chicken.exact.regret == 0


if __name__ == "__main__":
    main()
