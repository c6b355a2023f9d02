"""What agents may do instead of obeying."""

from mailopt.deviations.base import DeviationClass, check_deviations
from mailopt.deviations.classes import Coarse, External, Internal, Partition, Swap
from mailopt.deviations.counted import Budget, Limited
from mailopt.deviations.deviation import Deviation, LimitedDeviation
from mailopt.deviations.fixed import Finite, Stationary
from mailopt.deviations.restricted import Restricted
from mailopt.deviations.stagewise import Atoms, Stagewise

__all__ = [
    "Atoms",
    "Budget",
    "Coarse",
    "Deviation",
    "DeviationClass",
    "External",
    "Finite",
    "Internal",
    "Limited",
    "LimitedDeviation",
    "Partition",
    "Restricted",
    "Stagewise",
    "Stationary",
    "Swap",
    "check_deviations",
]
