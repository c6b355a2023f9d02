"""What agents may do instead of obeying."""

from mailopt.deviations.classes import DeviationClass, External, Swap, check_deviations
from mailopt.deviations.deviation import Deviation

__all__ = ["Deviation", "DeviationClass", "External", "Swap", "check_deviations"]
