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
from mailopt.errors import MailoptError
from mailopt.evaluation import (
    BestDeviation,
    BudgetCurve,
    Concentrability,
    Coverage,
    Departure,
    DeviationWeightedLoss,
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

__version__ = "0.1.0"

__all__ = [
    "BestDeviation",
    "Budget",
    "BudgetCurve",
    "Coarse",
    "Concentrability",
    "CorrelatedPolicy",
    "Coverage",
    "DenseKernel",
    "Departure",
    "DeterministicKernel",
    "Deviation",
    "DeviationClass",
    "DeviationWeightedLoss",
    "External",
    "Finite",
    "Internal",
    "Limited",
    "LimitedDeviation",
    "MailoptError",
    "MarkovGame",
    "Partition",
    "Priority",
    "QuantalDeviation",
    "Recoverability",
    "Regret",
    "RegretGap",
    "RegretGapBound",
    "RegretInterval",
    "Restricted",
    "RewardFreeRegretGap",
    "RewardFreeValueGap",
    "SparseKernel",
    "Stationary",
    "Swap",
    "TransitionKernel",
    "ValueGap",
    "Values",
    "best_deviation",
    "budget_curve",
    "concentrability",
    "coverage",
    "deviation_weighted_loss",
    "errors",
    "load_game",
    "load_policy",
    "occupancy",
    "programs",
    "quantal_deviation",
    "recoverability",
    "regret",
    "regret_gap",
    "regret_gap_bound",
    "regret_interval",
    "reward_free_regret_gap",
    "reward_free_value_gap",
    "scenarios",
    "value_gap",
    "values",
]
