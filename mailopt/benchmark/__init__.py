"""Benchmark instances from games: linear programs whose optima are known exactly and independently, at any size.

:mod:`mailopt_solvers.benchmark` runs solvers on them and writes reports.
"""

from mailopt.benchmark.collections import COLLECTIONS, export
from mailopt.benchmark.families import FAMILIES, Family, family_named

__all__ = ["COLLECTIONS", "FAMILIES", "Family", "export", "family_named"]
