"""Numbers of a given policy: occupancy, values, best deviation, regret, gaps, and the constants of theory."""

from mailopt.evaluation.best import BestDeviation, Departure
from mailopt.evaluation.budget import BudgetCurve, budget_curve
from mailopt.evaluation.coverage import Concentrability, Coverage, concentrability, coverage
from mailopt.evaluation.deviating import best_deviation
from mailopt.evaluation.estimated import (
    EstimatedRegret,
    EstimatedRegretGap,
    EstimatedValues,
    estimated_regret,
    estimated_regret_gap,
    estimated_values,
)
from mailopt.evaluation.interval import Priority, RegretInterval, regret_interval
from mailopt.evaluation.loss import DeviationWeightedLoss, RegretGapBound, deviation_weighted_loss, regret_gap_bound
from mailopt.evaluation.mixtures import MixtureRegret, mixture_regret
from mailopt.evaluation.occupancy import occupancy
from mailopt.evaluation.quantal import QuantalDeviation, quantal_deviation
from mailopt.evaluation.recoverability import Recoverability, recoverability
from mailopt.evaluation.regret import Regret, RegretGap, regret, regret_gap
from mailopt.evaluation.reward_free import (
    RewardFreeRegretGap,
    RewardFreeValueGap,
    reward_free_regret_gap,
    reward_free_value_gap,
)
from mailopt.evaluation.values import ValueGap, Values, value_gap, values

__all__ = [
    "BestDeviation",
    "BudgetCurve",
    "Concentrability",
    "Coverage",
    "Departure",
    "DeviationWeightedLoss",
    "EstimatedRegret",
    "EstimatedRegretGap",
    "EstimatedValues",
    "MixtureRegret",
    "Priority",
    "QuantalDeviation",
    "Recoverability",
    "Regret",
    "RegretGap",
    "RegretGapBound",
    "RegretInterval",
    "RewardFreeRegretGap",
    "RewardFreeValueGap",
    "ValueGap",
    "Values",
    "best_deviation",
    "budget_curve",
    "concentrability",
    "coverage",
    "deviation_weighted_loss",
    "estimated_regret",
    "estimated_regret_gap",
    "estimated_values",
    "mixture_regret",
    "occupancy",
    "quantal_deviation",
    "recoverability",
    "regret",
    "regret_gap",
    "regret_gap_bound",
    "regret_interval",
    "reward_free_regret_gap",
    "reward_free_value_gap",
    "value_gap",
    "values",
]
