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

from importlib import import_module
from typing import TYPE_CHECKING

from mailopt import errors, plotting, programs
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
    EstimatedRegret,
    EstimatedRegretGap,
    EstimatedValues,
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
    estimated_regret,
    estimated_regret_gap,
    estimated_values,
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
from mailopt.games.estimate import EstimatedGame, load_estimated_game
from mailopt.games.files import load_game, load_policy
from mailopt.games.game import MarkovGame
from mailopt.games.kernels import DenseKernel, DeterministicKernel, SparseKernel, TransitionKernel
from mailopt.games.policy import CorrelatedPolicy
from mailopt.imitation import (
    Answer,
    Blades,
    Demonstrations,
    Expert,
    GameSimulator,
    Imitation,
    MomentMatching,
    Round,
    Simulator,
    behavior_cloning,
    blades,
    inverse_reinforcement_learning,
    load_demonstrations,
    mail_bro,
    malice,
    murmail,
    sample_demonstrations,
)
from mailopt.programs import cvx, objectives, policy_classes

if TYPE_CHECKING:
    from mailopt.certificates.certificate import Certificate
    from mailopt.certificates.certify import certify, verify
    from mailopt.certificates.checker import Verdict

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "BestDeviation",
    "Blades",
    "Budget",
    "BudgetCurve",
    "Certificate",
    "Coarse",
    "Concentrability",
    "CorrelatedEquilibrium",
    "CorrelatedEquilibriumPolytope",
    "CorrelatedPolicy",
    "Coverage",
    "Demonstrations",
    "DenseKernel",
    "Departure",
    "DeterministicKernel",
    "Deviation",
    "DeviationClass",
    "DeviationWeightedLoss",
    "EstimatedGame",
    "EstimatedRegret",
    "EstimatedRegretGap",
    "EstimatedValues",
    "ExactEquilibrium",
    "Expert",
    "External",
    "Finite",
    "GameSimulator",
    "Imitation",
    "Internal",
    "Limited",
    "LimitedDeviation",
    "MailoptError",
    "MarkovGame",
    "MixtureRegret",
    "MomentMatching",
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
    "Round",
    "Simulator",
    "SparseKernel",
    "Stationary",
    "Swap",
    "TransitionKernel",
    "ValueGap",
    "Values",
    "Verdict",
    "ZeroSumEquilibrium",
    "behavior_cloning",
    "best_deviation",
    "blades",
    "budget_curve",
    "certify",
    "concentrability",
    "correlated_equilibrium",
    "correlated_equilibrium_polytope",
    "coverage",
    "cvx",
    "deviation_weighted_loss",
    "errors",
    "estimated_regret",
    "estimated_regret_gap",
    "estimated_values",
    "inverse_reinforcement_learning",
    "load_demonstrations",
    "load_estimated_game",
    "load_game",
    "load_policy",
    "mail_bro",
    "malice",
    "mixture_regret",
    "murmail",
    "objectives",
    "occupancy",
    "payoff_region",
    "plotting",
    "policy_classes",
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
    "sample_demonstrations",
    "scenarios",
    "value_gap",
    "values",
    "verify",
    "zero_sum_equilibrium",
]


_CERTIFICATES = {"Certificate": "certificate", "Verdict": "checker", "certify": "certify", "verify": "certify"}


def __getattr__(name: str) -> object:
    """Load certificates when they are asked for; see :mod:`mailopt.certificates`."""
    if name not in _CERTIFICATES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"mailopt.certificates.{_CERTIFICATES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
