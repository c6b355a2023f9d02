"""The ``mailopt bench`` commands: a benchmark of LP solvers on instances whose optima are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

import mailopt as mo
from mailopt import benchmark
from mailopt.console import Json, print_json, table_of
from mailopt_solvers.benchmark import (
    DEFAULT_MATRIX,
    TOLERANCES,
    Collection,
    Results,
    Settings,
    run_benchmark,
    summaries,
    track,
    write_report,
)
from mailopt_solvers.benchmark.figures import require_figures
from mailopt_solvers.benchmark.runner import chosen_solvers
from mailopt_solvers.engines import Engine, EngineName

_MOST = 2**30  # GiB
_MEMORY = (Settings().memory_limit or 0) / 2**30
bench = typer.Typer(no_args_is_help=True, help="Benchmark LP solvers on instances whose optima are known.")
_out = Console(highlight=False)

NoFigures = Annotated[bool, typer.Option("--no-figures", help="Write the report without figures.")]
CollectionName = Annotated[
    str, typer.Option("--collection", metavar="NAME", help="small, medium or large; or the folder of an exported one.")
]


@bench.command()
def run(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where results and report go; run again to go on.")],
    collection: CollectionName = "small",
    solvers: Annotated[
        str, typer.Option(help="Solver settings, separated by commas; all that are installed unless given.")
    ] = "",
    time_limit: Annotated[float, typer.Option(help="Seconds for each instance.")] = 5.0,
    memory_limit: Annotated[float, typer.Option(help="GiB that solving may take; 0: no limit.")] = _MEMORY,
    repeats: Annotated[int, typer.Option(help="How often quick runs are repeated.")] = 3,
    engine: Annotated[EngineName, typer.Option(help="Where it runs.")] = "loky",
    workers: Annotated[int, typer.Option(help="Processes at once; 1 for the least disturbed times.")] = 1,
    address: Annotated[str | None, typer.Option(help="Address of a Dask or Ray cluster that exists.")] = None,
    no_figures: NoFigures = False,
    as_json: Json = False,
) -> None:
    """Run solvers on a collection and write a report; what was done before is kept."""
    where = Engine(engine, workers, address)
    if not 0 <= memory_limit < _MOST:
        raise mo.errors.InvalidOption(f"--memory-limit is {memory_limit}; give GiB, or 0 for no limit")
    memory = int(memory_limit * 2**30) or None
    settings = Settings(time_limit, memory, repeats)
    chosen = [name.strip() for name in solvers.split(",")] if solvers else None
    chosen_solvers(chosen)  # fails now rather than after making instances
    if not no_figures:
        require_figures()
    found = _collection(collection, folder, as_json)
    with _shown(not as_json, "solving") as advance:
        results = run_benchmark(found, folder, chosen, settings=settings, engine=where, progress=advance)
    _show(results, figures=not no_figures, as_json=as_json)


@bench.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write.")],
    collection: Annotated[str, typer.Option("--collection", help="Sizes: small, medium or large.")] = "small",
    family: Annotated[list[str] | None, typer.Option(help="A family; may be repeated. All unless given.")] = None,
    size: Annotated[
        list[int] | None, typer.Option(help="A size instead of those of the collection; repeatable.")
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(help="A seed; may be repeated.")] = None,
    as_json: Json = False,
) -> None:
    """Write a collection: MPS files, their optima as fractions, and proofs."""
    made = _exported(folder, collection, family, size, seed or [0], as_json)
    if as_json:
        print_json({"command": "bench export", "folder": str(folder), "instances": [e.name for e in made.entries]})
    else:
        _out.print(f"{len(made.entries)} instances written to {escape(str(folder))}")


@bench.command()
def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of an exported collection.")],
    as_json: Json = False,
) -> None:
    """Prove the optima of a collection from its files, in fractions, without a solver."""
    collection = Collection.load(folder)
    proved = [entry.name for entry in collection.entries if collection.verify(entry)]
    unproved = [entry.name for entry in collection.entries if entry.name not in proved]
    if as_json:
        print_json({"command": "bench verify", "proved": proved, "not_proved": unproved})
    else:
        _out.print(f"{len(proved)} of {len(collection.entries)} optima proved: {escape(str(folder))}")
        if unproved:
            _out.print(f"Without a proof: {', '.join(unproved)}")
    if unproved:
        raise typer.Exit(1)


@bench.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of results.")],
    no_figures: NoFigures = False,
    as_json: Json = False,
) -> None:
    """Write the report of results that are there."""
    _show(Results.load(folder), figures=not no_figures, as_json=as_json)


@bench.command(name="list")
def list_all(as_json: Json = False) -> None:
    """List families of instances, and solver settings."""
    missing = {name: solver.missing() for name, solver in DEFAULT_MATRIX.items()}
    if as_json:
        families = {f.name: {"about": f.about, "sizes": f.sizes} for f in benchmark.FAMILIES.values()}
        print_json({"command": "bench list", "families": families, "settings": missing})
        return
    known = table_of("family", "what; size", *benchmark.COLLECTIONS)
    for f in benchmark.FAMILIES.values():
        sizes = (" ".join(map(str, f.sizes[name])) for name in benchmark.COLLECTIONS)
        known.add_row(f.name, escape(f.about), *sizes)
    _out.print(known)
    solvers = table_of("setting", "solver", "")
    solvers.columns[0].no_wrap = solvers.columns[1].no_wrap = True
    for name, solver in DEFAULT_MATRIX.items():
        solvers.add_row(name, escape(repr(solver)), escape(missing[name] or ""))
    _out.print(solvers)


def _collection(name: str, folder: Path, quiet: bool) -> Collection:
    """Load a collection from its folder, or make one beside the results."""
    if name not in benchmark.COLLECTIONS:
        if not Path(name).is_dir():
            names = ", ".join(benchmark.COLLECTIONS)
            raise mo.errors.InvalidOption(
                f"there is no collection {name!r}; give {names} or the folder of an exported one"
            )
        return Collection.load(name)
    target = folder / f"collection-{name}"
    if (target / "manifest.json").exists():
        return Collection.load(target)
    return _exported(target, name, None, None, [0], quiet)


def _exported(
    folder: Path, name: str, family: list[str] | None, size: list[int] | None, seed: list[int], quiet: bool
) -> Collection:
    with _shown(not quiet, "making instances") as advance:
        return benchmark.export(folder, name, families=family, sizes=size, seeds=seed, progress=advance)


@contextmanager
def _shown(progress: bool, title: str) -> Iterator[Callable[[int, int], None] | None]:
    """Show a progress bar if asked to; what it yields takes the numbers of units that are done and of all."""
    if not progress:
        yield None
        return
    with Progress() as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _show(results: Results, *, figures: bool, as_json: bool) -> None:
    """Write the report and print its short form."""
    path = write_report(results, figures=figures)
    cold, limit = track(results, "cold"), results.time_limit
    found = {name: {s.setting: s for s in summaries(cold, name, limit)} for name in TOLERANCES}
    if as_json:
        settings = {
            setting: {
                name: {
                    "solved": found[name][setting].solved,
                    "shifted_geometric_mean": found[name][setting].mean,
                    "false_optima": found[name][setting].false_optima,
                }
                for name in TOLERANCES
            }
            for setting in found["medium"]
        }
        count = len({record.instance for record in cold})
        print_json({"command": "bench", "report": str(path), "instances": count, "settings": settings})
        return
    table = table_of("solver", *TOLERANCES, "mean, s", "false optima")
    table.columns[0].no_wrap = True
    for setting, medium in found["medium"].items():
        solved = (f"{found[name][setting].solved} / {medium.count}" for name in TOLERANCES)
        table.add_row(setting, *solved, f"{medium.mean:.3g}", str(medium.false_optima))
    _out.print(table)
    sets = ", ".join(f"{name} ({value:g})" for name, value in TOLERANCES.items())
    _out.print(
        f"Instances solved at tolerance sets {sets}. Then, at medium, the shifted geometric mean of the seconds, "
        f"{limit:g} for what is not solved, and claims of an optimum that is none."
    )
    skipped = results.about["skipped"]
    for name, why in skipped.items():
        _out.print(f"Skipped: {name} ({escape(why)})")
    _out.print(f"Report: {escape(str(path))}")
