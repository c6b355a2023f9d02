"""Numbers of a given policy: occupancy, values, best deviation, regret, gaps."""

from mailopt.evaluation.deviating import BestDeviation, Departure, best_deviation
from mailopt.evaluation.occupancy import occupancy
from mailopt.evaluation.regret import Regret, RegretGap, regret, regret_gap
from mailopt.evaluation.values import ValueGap, Values, value_gap, values

__all__ = [
    "BestDeviation",
    "Departure",
    "Regret",
    "RegretGap",
    "ValueGap",
    "Values",
    "best_deviation",
    "occupancy",
    "regret",
    "regret_gap",
    "value_gap",
    "values",
]
