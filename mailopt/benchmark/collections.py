"""Collections of instances, and their files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mailopt.benchmark.families import FAMILIES, Family, family_named
from mailopt_solvers import InvalidOption
from mailopt_solvers.benchmark import Collection, Instance, write_collection

COLLECTIONS = ("small", "medium", "large")
"""Names of the collections; each family says which of its sizes belong to them."""

_ABOUT = """\
# Linear programs with known optima: the {name} collection

Each `NAME.mps.gz` is a linear program (free MPS, every digit of its doubles). `manifest.json` says for each what it is
(`family`, `size`, `seed`), its size, its digest (SHA-256 of the uncompressed file), and its `optimum` as a fraction,
with the independent `methods` that agree on it. `NAME.proof.json.gz` holds an optimal point and row duals in fractions;
they prove the optimum by weak duality, which

    python optimum_checker.py NAME.mps.gz NAME.proof.json.gz

(`mailopt_solvers/benchmark/optimum_checker.py`, standard library only) checks without a solver. `NAME.round000.mps.gz`,
`.round001`, .. are the rounds of one algorithm: each program continues the one before with more rows, to be solved one
after the other, warm or cold.

Judge a solver by its point x and row duals y, not by its words: with s the `scale` of the manifest, the errors
|c x + offset - optimum| / s and |dual objective - optimum| / s, and the residuals of x and y.

| family | what |
| --- | --- |
{families}
"""


def export(
    folder: str | Path,
    collection: str = "small",
    *,
    families: Sequence[str] | None = None,
    sizes: Sequence[int] | None = None,
    seeds: Sequence[int] = (0,),
    progress: Callable[[int, int], None] | None = None,
) -> Collection:
    """Write a collection: compressed MPS files, proofs of their optima, and a manifest.

    Parameters
    ----------
    folder
        Where; a new folder, or one without a manifest.
    collection
        Which sizes: ``"small"``, ``"medium"`` or ``"large"``.
    families
        Names in :data:`FAMILIES`; None: all.
    sizes
        Other sizes than those of the collection, for all families that are chosen.
    seeds
        One instance of each family and size for each.
    progress
        Called with the numbers of instances that are made and of all, after each.

    Raises
    ------
    InvalidOption
        No such collection or family, or a size or seed that is no number.
    MalformedCollection
        The folder holds a collection.
    MissingDependency, SolverNotInstalled
        What a family needs is not installed: the ``games`` extra for ``openspiel-..``, ``exact`` for fractions.
    WrongAnswer
        Two routes to an optimum differ.
    """
    if collection not in COLLECTIONS:
        raise InvalidOption(f"there is no collection {collection!r}; there are {', '.join(COLLECTIONS)}")
    chosen = list(FAMILIES.values()) if families is None else [family_named(name) for name in families]
    for what, numbers, least in (("size", sizes or (), 2), ("seed", seeds, 0)):
        bad = [number for number in numbers if not isinstance(number, int) or number < least]
        if bad:
            raise InvalidOption(f"{what} {bad[0]!r}: give a whole number, at least {least}")
        if len(set(numbers)) < len(numbers):
            raise InvalidOption(f"a {what} is given twice: {', '.join(map(str, numbers))}")
    if len({family.name for family in chosen}) < len(chosen):
        raise InvalidOption(f"a family is given twice: {', '.join(family.name for family in chosen)}")
    table = "\n".join(f"| {family.name} | {family.about} |" for family in chosen)
    plan = [
        (family, size, seed)
        for family in chosen
        for size in (family.sizes[collection] if sizes is None else sizes)
        for seed in seeds
    ]
    name = collection if families is None and sizes is None and tuple(seeds) == (0,) else f"part of {collection}"
    return write_collection(folder, name, _instances(plan, progress), _ABOUT.format(name=name, families=table))


def _instances(
    plan: Sequence[tuple[Family, int, int]], progress: Callable[[int, int], None] | None
) -> Iterator[Instance]:
    for done, (family, size, seed) in enumerate(plan, start=1):
        yield family.instance(size, seed)
        if progress is not None:
            progress(done, len(plan))
