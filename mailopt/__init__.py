"""mailopt: exact regret of correlated policies, and the linear programs behind it.

A mediator recommends actions to agents who may disobey. ``mailopt`` computes how much an agent gains by disobeying
(regret), how much more it gains under a learned policy than under an expert's (regret gap), and returns the deviation
that attains it: by dynamic programming and, independently, by linear programs over deviation occupancies.

>>> import mailopt as mo
>>> chain = mo.scenarios.unvisited_chain(6)
>>> mo.value_gap(chain.game, chain.learner, chain.expert).value
0.0
>>> mo.regret_gap(chain.game, chain.learner, chain.expert).value
5.0
"""

from mailopt import errors, programs
from mailopt.deviations import (
    Budget,
    Coarse,
    Deviation,
    DeviationClass,
    External,
    Finite,
    Internal,
    Limited,
    LimitedDeviation,
    Partition,
    Restricted,
    Stationary,
    Swap,
)
from mailopt.equilibria import (
    CorrelatedEquilibrium,
    CorrelatedEquilibriumPolytope,
    ExactEquilibrium,
    PayoffRegion,
    Repair,
    ZeroSumEquilibrium,
    correlated_equilibrium,
    correlated_equilibrium_polytope,
    payoff_region,
    regret_constrained_imitation,
    repair,
    zero_sum_equilibrium,
)
from mailopt.errors import MailoptError
from mailopt.evaluation import (
    BestDeviation,
    BudgetCurve,
    Concentrability,
    Coverage,
    Departure,
    DeviationWeightedLoss,
    MixtureRegret,
    Priority,
    QuantalDeviation,
    Recoverability,
    Regret,
    RegretGap,
    RegretGapBound,
    RegretInterval,
    RewardFreeRegretGap,
    RewardFreeValueGap,
    ValueGap,
    Values,
    best_deviation,
    budget_curve,
    concentrability,
    coverage,
    deviation_weighted_loss,
    mixture_regret,
    occupancy,
    quantal_deviation,
    recoverability,
    regret,
    regret_gap,
    regret_gap_bound,
    regret_interval,
    reward_free_regret_gap,
    reward_free_value_gap,
    value_gap,
    values,
)
from mailopt.games import scenarios
from mailopt.games.files import load_game, load_policy
from mailopt.games.game import MarkovGame
from mailopt.games.kernels import DenseKernel, DeterministicKernel, SparseKernel, TransitionKernel
from mailopt.games.policy import CorrelatedPolicy
from mailopt.programs import cvx, objectives

__version__ = "0.1.0"

__all__ = [
    "BestDeviation",
    "Budget",
    "BudgetCurve",
    "Coarse",
    "Concentrability",
    "CorrelatedEquilibrium",
    "CorrelatedEquilibriumPolytope",
    "CorrelatedPolicy",
    "Coverage",
    "DenseKernel",
    "Departure",
    "DeterministicKernel",
    "Deviation",
    "DeviationClass",
    "DeviationWeightedLoss",
    "ExactEquilibrium",
    "External",
    "Finite",
    "Internal",
    "Limited",
    "LimitedDeviation",
    "MailoptError",
    "MarkovGame",
    "MixtureRegret",
    "Partition",
    "PayoffRegion",
    "Priority",
    "QuantalDeviation",
    "Recoverability",
    "Regret",
    "RegretGap",
    "RegretGapBound",
    "RegretInterval",
    "Repair",
    "Restricted",
    "RewardFreeRegretGap",
    "RewardFreeValueGap",
    "SparseKernel",
    "Stationary",
    "Swap",
    "TransitionKernel",
    "ValueGap",
    "Values",
    "ZeroSumEquilibrium",
    "best_deviation",
    "budget_curve",
    "concentrability",
    "correlated_equilibrium",
    "correlated_equilibrium_polytope",
    "coverage",
    "cvx",
    "deviation_weighted_loss",
    "errors",
    "load_game",
    "load_policy",
    "mixture_regret",
    "objectives",
    "occupancy",
    "payoff_region",
    "programs",
    "quantal_deviation",
    "recoverability",
    "regret",
    "regret_constrained_imitation",
    "regret_gap",
    "regret_gap_bound",
    "regret_interval",
    "repair",
    "reward_free_regret_gap",
    "reward_free_value_gap",
    "scenarios",
    "value_gap",
    "values",
    "zero_sum_equilibrium",
]
