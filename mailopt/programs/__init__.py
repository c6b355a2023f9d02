"""Linear programs of the library as data, for people who want the program itself."""

from mailopt.programs.deviation import deviation
from mailopt.programs.equilibrium import equilibrium
from mailopt.programs.flow import flow
from mailopt.programs.imitation import imitation

__all__ = ["deviation", "equilibrium", "flow", "imitation"]
