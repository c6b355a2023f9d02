"""A tiny collection without games."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mailopt_solvers import LinearProgram, ProgramBuilder, solve_exact
from mailopt_solvers.benchmark import Collection, Instance, KnownOptimum, write_collection


def covering(size: int, rounds: int = 0) -> list[LinearProgram]:
    """Minimise the sum of x over rows of 2 and 3; in each round one more row."""
    rng = np.random.default_rng(size)
    programs = []
    rows = rng.integers(1, 4, (size + rounds, size)).astype(float)
    for count in range(size, size + rounds + 1):
        builder = ProgramBuilder("min", 0.5)
        x = builder.add_variables("x", (size,), costs=1.0, upper=4.0)
        builder.add_rows("covered", (count,), {x: rows[:count]}, lower=np.arange(2.0, 2.0 + count))
        programs.append(builder.build())
    return programs


def instance(size: int, rounds: int = 0) -> Instance:
    programs = covering(size, rounds)
    proofs = [solve_exact(program) for program in programs]
    optima = [KnownOptimum(p.objective, p.objective, ("by hand",), float(p.objective)) for p in proofs]
    name = f"{'rounds' if rounds else 'cover'}-{size}"
    return Instance(name, name.split("-", maxsplit=1)[0], size, 0, tuple(programs), tuple(optima), tuple(proofs))


def tiny(folder: Path) -> Collection:
    return write_collection(folder, "tiny", [instance(2), instance(5), instance(3, rounds=3)])
