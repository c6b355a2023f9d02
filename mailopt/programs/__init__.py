"""Linear programs of the library as data, for people who want the program itself."""

from mailopt.programs.deviation import deviation
from mailopt.programs.equilibrium import equilibrium
from mailopt.programs.flow import flow

__all__ = ["deviation", "equilibrium", "flow"]
