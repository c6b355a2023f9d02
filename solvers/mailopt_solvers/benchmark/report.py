"""A report on results: Markdown and figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mailopt_solvers.benchmark.figures import draw
from mailopt_solvers.benchmark.judging import TOLERANCES
from mailopt_solvers.benchmark.results import Record, Results
from mailopt_solvers.benchmark.statistics import (
    SHIFT,
    Summary,
    WarmStart,
    false_claims,
    fastest,
    scaling_exponents,
    settings_of,
    statuses,
    summaries,
    track,
    warm_starts,
)
from mailopt_solvers.errors import MalformedResults
from mailopt_solvers.files import replacing

_MAIN = "medium"
_LIMITATIONS = """\
- Times are those of one machine, or of those that are listed, while others may have used it; small differences mean
  nothing. Seconds are those that each solver says it took, never more than the clock on the wall; handing the program
  over, and the start of OR-tools' processes, are not in them (they are in `wall_seconds` of the results).
- Times below {shift:g} s hardly differ in the shifted geometric means; most of the small collection is of that kind.
- SciPy, and HiGHS with its own defaults, leave out coefficients below 1e-9, of which the larger `scaled` programs have
  some: that is another program, with another optimum.
- A solver is judged by the answer that its interface here returns. cvxpy's reductions are part of "through cvxpy".
- "True" asks for all at once: objective, dual objective, residuals and gap. A solver that is asked for less than the
  tolerance set (settings called `default`) cannot be expected to reach it; its claim of an optimum is then only as good
  as its own tolerances.
- Linear algebra runs on one thread. Solvers that live from many threads or a graphics card do not show their best.
- Families come from games of few kinds. A ranking here says nothing about other linear programs.
- Rounds of algorithms and vertices of degenerate programs depend on the version of the solver that made them; the
  exported files are the reference.
"""


def write_report(results: Results, *, figures: bool = True) -> Path:
    """Write ``report.md``, and its figures, into the folder of the results.

    Returns
    -------
    The path of the report.

    Raises
    ------
    MalformedResults
        There are no results yet.
    MissingDependency
        matplotlib is not installed; ``figures=False`` does without.
    """
    cold = track(results, "cold")
    if not cold:
        raise MalformedResults(f"{results.folder} has no results yet; run the benchmark first")
    drawn = draw(cold, results.folder, _MAIN, results.time_limit) if figures else []
    path = results.folder / "report.md"
    with replacing(path) as file:
        file.write("\n".join(_lines(results, cold, drawn)).encode())
    return path


def _lines(results: Results, cold: Sequence[Record], drawn: Sequence[tuple[str, str]]) -> list[str]:
    limit = results.time_limit
    ranked = {name: summaries(cold, name, limit) for name in TOLERANCES}
    instances = len({record.instance for record in cold})
    families = len({record.family for record in cold})
    lines = [
        f"# Linear programs with known optima: results on the {results.about['collection']['name']} collection",
        "",
        f"{len(settings_of(cold))} solver settings on {instances} instances of {families} families, of "
        f"{min(r.nonzeros for r in cold)} to {max(r.nonzeros for r in cold)} nonzeros. The optimum of each is known "
        "independently; answers are judged against it and by their residuals, whatever the solver says.",
        "",
        *_findings(ranked),
    ]
    for name in TOLERANCES:
        lines += ["", f"## Solved at tolerance set {name} ({TOLERANCES[name]:g})", ""]
        if name == "low":
            lines += [
                f"Solved: objective error, dual error, residuals and gap within the tolerance, in {limit:g} s. Mean: "
                f"shifted geometric mean of the seconds (shift {SHIFT:g} s); what is not solved is charged {limit:g} s."
                " False optima: claims of an optimum that is none at this tolerance set.",
                "",
            ]
        found = ranked[name]
        best = found[0].mean
        lines += _table(
            ["solver", "solved", "mean, s", "relative", "false optima"],
            (
                [s.setting, f"{s.solved} / {s.count}", f"{s.mean:.3g}", f"{s.mean / best:.3g}", str(s.false_optima)]
                for s in found
            ),
        )
    for name, caption in drawn:
        lines += ["", f"![{caption}]({name})", "", caption]
    lines += ["", "## False claims", "", "Every instance has an optimum: who says otherwise is wrong.", ""]
    lines += _table(
        ["solver", *(f"optimum, {name}" for name in TOLERANCES), "no optimum"],
        ([setting, *map(str, counts.values())] for setting, counts in false_claims(cold).items()),
    )
    lines += ["", "## How runs ended", "", "The solver's claim, or what happened instead.", ""]
    ended = statuses(cold)
    kinds = list(dict.fromkeys(kind for counts in ended.values() for kind in counts))
    lines += _table(
        ["solver", *(kind.replace("_", " ") for kind in kinds)],
        ([setting, *(str(counts.get(kind, 0)) for kind in kinds)] for setting, counts in ended.items()),
    )
    lines += ["", f"## Fastest by family (tolerance set {_MAIN})", "", "Of those that solve all of its instances.", ""]
    lines += _table(
        ["family", "fastest", "second", "third"],
        (
            [family, *[f"{setting} ({mean:.2g} s)" for setting, mean in ranked[:3]], *[""] * (3 - len(ranked))]
            for family, ranked in fastest(cold, _MAIN, limit).items()
        ),
    )
    lines += ["", "## Scaling exponents", ""]
    lines += [
        f"Seconds grow like nonzeros to this power, over what is solved at tolerance set {_MAIN} and takes a "
        "millisecond or more; empty where fewer than two sizes do.",
        "",
    ]
    exponents = scaling_exponents(cold, _MAIN, limit)
    timed = [s for s in settings_of(cold) if any(not math.isnan(own[s]) for own in exponents.values())]
    lines += _table(
        ["family", *timed],
        (
            [family, *("" if math.isnan(own[s]) else f"{own[s]:.2f}" for s in timed)]
            for family, own in exponents.items()
        ),
    )
    lines += ["", "## Warm starts", "", *_warm(warm_starts(results, _MAIN))]
    lines += ["", "## Limitations", "", _LIMITATIONS.format(shift=SHIFT)]
    return [*lines, "## Conditions", "", *_conditions(results)]


def _findings(ranked: Mapping[str, Sequence[Summary]]) -> list[str]:
    """Say in a few sentences who wins and who is wrong."""
    first, *others = ranked[_MAIN]
    counts = {summary.count for summary in (first, *others)}
    said = []
    if len(counts) > 1:
        said.append("- The run is not complete: settings have results of different numbers of instances.")
    if first.solved:
        second = f"; {others[0].setting} is second at {others[0].mean / first.mean:.2f} times that" if others else ""
        said.append(
            f"- At tolerance set {_MAIN}, {first.setting} has the least shifted geometric mean, {first.mean:.3g} s, "
            f"and solves {first.solved} of {first.count}{second}."
        )
    else:
        said.append(f"- Nothing is solved at tolerance set {_MAIN}.")
    complete = [s.setting for s in ranked["high"] if s.solved == s.count]
    said.append(f"- Solve everything at tolerance set high: {', '.join(complete) or 'none'}.")
    for name, found in ranked.items():
        liars = sorted((s for s in found if s.false_optima), key=lambda s: -s.false_optima)
        said.append(
            f"- Claim optima that are none at tolerance set {name}: "
            + (", ".join(f"{s.setting} ({s.false_optima} of {s.count})" for s in liars) or "none")
            + "."
        )
    return ["## Findings", "", *said]


def _warm(found: Sequence[WarmStart]) -> list[str]:
    if not found:
        return ["No setting ran on both tracks."]
    return [
        "Sequences of programs, each continuing the one before: cold solves each from scratch, warm starts from the "
        "basis of the one before.",
        "",
        *_table(
            ["solver", "sequences", "cold, s", "warm, s", "warm / cold", "iterations cold", "warm"],
            (
                [
                    w.setting,
                    str(w.sequences),
                    f"{w.cold_seconds:.3g}",
                    f"{w.warm_seconds:.3g}",
                    f"{w.warm_seconds / w.cold_seconds:.2f}",
                    _counted(w.cold_iterations),
                    _counted(w.warm_iterations),
                ]
                for w in found
            ),
        ),
    ]


def _counted(iterations: int | None) -> str:
    return "" if iterations is None else str(iterations)


def _conditions(results: Results) -> list[str]:
    about = results.about
    settings = about["settings"]
    memory = settings["memory_limit"]
    lines = [
        f"- Limits: {settings['time_limit']:g} s of wall clock an instance"
        + (f", {memory / 2**30:g} GiB of memory" if memory else "")
        + f"; runs below 0.1 s are done {settings['repeats']} times, and the median counts.",
    ]
    for machine in about["machines"].values():
        software = ", ".join(f"{name} {version}" for name, version in machine["software"].items())
        lines.append(
            f"- {machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}, "
            f"{machine['threads']} thread a solver; {software}."
        )
    solvers = dict.fromkeys((r.setting, r.solver, r.version) for r in results.records)
    versions: dict[tuple[str, str], list[str]] = {}
    for setting, solver, version in solvers:
        versions.setdefault((setting, solver), []).extend([version] if version else [])
    lines += [
        "",
        *_table(
            ["setting", "solver", "version"],
            ([setting, f"`{solver}`", ", ".join(known)] for (setting, solver), known in versions.items()),
        ),
    ]
    skipped = about["skipped"]
    if skipped:
        lines += ["", "Skipped: " + "; ".join(f"{name} ({why})" for name, why in skipped.items()) + "."]
    return [*lines, "", f"Collection digest: `{about['collection']['digest']}`.", ""]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"| {' | '.join(['---'] * len(head))} |",
        *(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows),
    ]
