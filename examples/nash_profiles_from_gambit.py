"""Claim: Nash equilibria of chicken have no regret, and a correlated equilibrium is worth more than any of them.

Reads the game in Gambit's ``.nfg`` format, asks Gambit for its equilibria, and evaluates them exactly. Needs the
``games`` extra.
"""

import pygambit

import mailopt as mo
from mailopt.interop import gambit

CHICKEN = """
NFG 1 R "Chicken (Aumann 1974)" { "Ann" "Bob" } { { "dare" "yield" } { "dare" "yield" } }
""
0 0  2 7  7 2  6 6
"""


def main() -> None:
    read = gambit.parse_nfg(CHICKEN)
    game = read.game
    print(read.title)
    profiles = pygambit.nash.enummixed_solve(gambit.to_gambit(read), rational=True).equilibria
    welfare = []
    for profile in profiles:
        policy = gambit.from_profile(profile)
        found = mo.regret(game, policy)
        welfare.append(float(mo.values(game, policy).value.sum()))
        print(f"Nash equilibrium {policy.fractions()[0].tolist()}: welfare {welfare[-1]:.4f}, regret {found.value:.1g}")
        assert found.upper < 1e-12
    best = mo.correlated_equilibrium(game, exact=True)
    assert best.exact is not None
    assert best.exact.objective is not None
    print(f"best correlated equilibrium: welfare {best.exact.objective}")
    assert best.exact.objective > max(welfare)


if __name__ == "__main__":
    main()
