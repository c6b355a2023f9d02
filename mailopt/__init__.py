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
from mailopt.deviations import Coarse, Deviation, DeviationClass, External, Internal, Partition, Restricted, Swap
from mailopt.errors import MailoptError
from mailopt.evaluation import (
    BestDeviation,
    Departure,
    Regret,
    RegretGap,
    ValueGap,
    Values,
    best_deviation,
    occupancy,
    regret,
    regret_gap,
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
    "Coarse",
    "CorrelatedPolicy",
    "DenseKernel",
    "Departure",
    "DeterministicKernel",
    "Deviation",
    "DeviationClass",
    "External",
    "Internal",
    "MailoptError",
    "MarkovGame",
    "Partition",
    "Regret",
    "RegretGap",
    "Restricted",
    "SparseKernel",
    "Swap",
    "TransitionKernel",
    "ValueGap",
    "Values",
    "best_deviation",
    "errors",
    "load_game",
    "load_policy",
    "occupancy",
    "programs",
    "regret",
    "regret_gap",
    "scenarios",
    "value_gap",
    "values",
]
