"""What agents may do instead of obeying."""

from mailopt.deviations.classes import DeviationClass, External, Swap
from mailopt.deviations.deviation import Deviation

__all__ = ["Deviation", "DeviationClass", "External", "Swap"]
