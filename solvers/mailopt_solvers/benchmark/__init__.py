"""A benchmark of LP solvers on instances whose optima are known. Knows nothing of games and is usable alone.

Solvers are judged by their answers: residuals from the program's own data, and error against the known optimum, at
named tolerance sets. What they claim is recorded.
"""

from mailopt_solvers.benchmark.instances import (
    Collection,
    Entry,
    Instance,
    KnownOptimum,
    ProgramFile,
    scale_of,
    write_collection,
)
from mailopt_solvers.benchmark.judging import TOLERANCES, Judgement, judged
from mailopt_solvers.benchmark.report import write_report
from mailopt_solvers.benchmark.results import Record, Results
from mailopt_solvers.benchmark.runner import DEFAULT_MATRIX, Settings, run_benchmark
from mailopt_solvers.benchmark.statistics import Summary, performance_profile, summaries, track, warm_starts

__all__ = [
    "DEFAULT_MATRIX",
    "TOLERANCES",
    "Collection",
    "Entry",
    "Instance",
    "Judgement",
    "KnownOptimum",
    "ProgramFile",
    "Record",
    "Results",
    "Settings",
    "Summary",
    "judged",
    "performance_profile",
    "run_benchmark",
    "scale_of",
    "summaries",
    "track",
    "warm_starts",
    "write_collection",
    "write_report",
]
