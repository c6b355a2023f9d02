"""What agents may do instead of obeying."""

from mailopt.deviations.classes import (
    Atoms,
    Coarse,
    DeviationClass,
    External,
    Internal,
    Partition,
    Swap,
    check_deviations,
)
from mailopt.deviations.deviation import Deviation
from mailopt.deviations.restricted import Restricted

__all__ = [
    "Atoms",
    "Coarse",
    "Deviation",
    "DeviationClass",
    "External",
    "Internal",
    "Partition",
    "Restricted",
    "Swap",
    "check_deviations",
]
