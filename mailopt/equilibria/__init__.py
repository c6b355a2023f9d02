"""Policies computed from a game: correlated and coarse correlated equilibria, zero-sum equilibria, repair."""

from mailopt.equilibria.correlated import CorrelatedEquilibrium, correlated_equilibrium
from mailopt.equilibria.exact import ExactEquilibrium
from mailopt.equilibria.polytope import (
    CorrelatedEquilibriumPolytope,
    PayoffRegion,
    correlated_equilibrium_polytope,
    payoff_region,
)
from mailopt.equilibria.repair import Repair, regret_constrained_imitation, repair
from mailopt.equilibria.zero_sum import ZeroSumEquilibrium, zero_sum_equilibrium

__all__ = [
    "CorrelatedEquilibrium",
    "CorrelatedEquilibriumPolytope",
    "ExactEquilibrium",
    "PayoffRegion",
    "Repair",
    "ZeroSumEquilibrium",
    "correlated_equilibrium",
    "correlated_equilibrium_polytope",
    "payoff_region",
    "regret_constrained_imitation",
    "repair",
    "zero_sum_equilibrium",
]
