"""The command line: tables for people, ``--json`` for machines.

Exit status 0 on success, 1 if a claim is not proved, and 2 on bad input or a failed computation; errors are one line
without a traceback.
"""

from __future__ import annotations

import sys
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import mailopt as mo
from mailopt.bench_cli import bench
from mailopt.certificates import checker
from mailopt.certificates.batch import CertifyOne, Outcome, certify_anywhere, certify_files, certify_with
from mailopt.certificates.certificate import middle
from mailopt.certificates.certify import Certifier
from mailopt.console import Json, print_json, table_of
from mailopt.evaluation.stages import Method
from mailopt.games.files import game_content, policy_content
from mailopt.progress import shown
from mailopt_solvers.engines import Engine, EngineName

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(bench, name="bench")
_out = Console(highlight=False)
_SHOWN = 20  # departures in a table; --json has all
_CLASSES: dict[str, mo.DeviationClass] = {
    "swap": mo.Swap(),
    "external": mo.External(),
    "coarse": mo.Coarse(),
    "internal": mo.Internal(),
}
_OFFERED = "swap, external, coarse, internal, limited:K (at most K departures) or budget:KAPPA (KAPPA expected)"
_METHODS = {"dp": "by dynamic programming", "lp": "by linear programming (HiGHS)"}


def main() -> None:
    """Run the command line; the entry point of the ``mailopt`` program."""
    try:
        app()
    except mo.MailoptError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}" if error.filename else f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _print_version(asked: bool) -> None:
    if asked:
        print(mo.__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Exact regret of correlated policies, by dynamic programming and linear programming."""


@app.command()
def demo(
    horizon: Annotated[int, typer.Option(min=2, help="Number of steps H of the chain.")] = 6,
    as_json: Json = False,
) -> None:
    """Show a learner with value gap 0 and the largest regret gap a chain game allows."""
    chain = mo.scenarios.unvisited_chain(horizon)
    game, expert, learner = chain.game, chain.expert, chain.learner
    by_dp, by_lp = (mo.regret_gap(game, learner, expert, method=method) for method in ("dp", "lp"))
    numbers = {
        method: {"value_gap": _value_gap(gap), "regret_gap": gap.value}
        for method, gap in (("dp", by_dp), ("lp", by_lp))
    }
    found = by_dp.policy
    explicit = float(mo.values(game, found.deviation.apply(game, learner)).value[found.agent])
    if as_json:
        print_json(
            {
                "command": "demo",
                "game": "unvisited_chain",
                "horizon": horizon,
                "expected": {"value_gap": 0.0, "regret_gap": float(chain.regret_gap)},
                **numbers,
                "explicit_deviation_value": explicit,
                "regret": _regret_fields(game, learner, found),
            }
        )
        return
    _out.print(
        "[bold]A learner that copies its expert perfectly, and can be exploited.[/bold]\n"
        "Two agents walk the chain s0, s2, s4, ... as a mediator recommends. If one of them disobeys in s0, they walk "
        "s1, s3, s5, ... instead, where no demonstration ever was. There the expert recommends (1, 1), which pays "
        "nothing; the learner recommends (0, 0), which pays 1 to both at every step. Below is what the two play, and "
        "what that pays.\n"
    )
    gaps = table_of("", "dynamic program", "linear program (HiGHS)", "theory")
    gaps.add_row("value gap", *(_number(numbers[m]["value_gap"]) for m in ("dp", "lp")), "0")
    gaps.add_row("regret gap", *(_number(numbers[m]["regret_gap"]) for m in ("dp", "lp")), f"H - 1 = {horizon - 1}")
    _out.print(gaps)
    deviates = f"{game.agent_name(found.agent)} disobeys"
    _out.print(
        _walks(
            game,
            found.agent,
            {
                "learner, all obey": learner,
                f"expert, {deviates}": found.deviation.apply(game, expert),
                f"learner, {deviates}": found.deviation.apply(game, learner),
            },
        )
    )
    _print_departures(game, learner, found.best)
    name = game.agent_name(found.agent)
    _out.print(
        f"Played out, this deviation is worth {_number(explicit)} to {name}; obeying {_number(explicit - found.value)}."
    )


@app.command()
def certify(
    game_file: Annotated[Path, typer.Argument(metavar="GAME", help="Game file, .json or .npz.")],
    policy_files: Annotated[
        list[Path], typer.Argument(metavar="POLICY...", help="Policy files, .json or .npz, or folders of them.")
    ],
    expert_file: Annotated[Path | None, typer.Option("--expert", metavar="FILE", help="Expert policy file.")] = None,
    deviations: Annotated[str, typer.Option(help=f"What agents may do instead of obeying: {_OFFERED}.")] = "swap",
    method: Annotated[
        Literal["auto", "dp", "lp"], typer.Option(help="Dynamic or linear program, for numbers without -o.")
    ] = "auto",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Certificate to write, .json; or a folder for one of each policy, NAME.json."
        ),
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="With -o: certify in fractions.")] = False,
    workers: Annotated[int, typer.Option(help="With -o: how many policies to certify at once.")] = 1,
    engine: Annotated[
        EngineName | None,
        typer.Option(help="With -o: where; on this machine (loky, the default), on a Dask or on a Ray cluster."),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Of a running cluster (tcp://HOST:8786, HOST:6379); by default one is started here."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compute values and regret of a policy, and the gaps to an expert; with -o write certificates of them.

    A folder of certificates is resumed: one that is about the same game, policy, expert and class is kept, unchecked
    (see verify), any other one is replaced. A policy that cannot be certified does not stop the others; the exit status
    is 2 then. Workers get what the files hold, and need no access to them.
    """
    if output is None and (workers != 1 or engine is not None or address is not None):
        raise mo.errors.InvalidOption("--workers, --engine and --address need -o: where the certificates go")
    where = Engine(engine or "loky", workers, address)
    policy_files = _without_folders(policy_files)
    game = mo.load_game(game_file)
    expert = None if expert_file is None else mo.load_policy(expert_file, game)
    phi = _class_of(deviations)
    if output is not None:
        to_file = output.suffix == ".json" and not output.is_dir()
        if output.suffix == ".npz" or (to_file and len(policy_files) > 1):
            raise mo.errors.InvalidOption(f"-o {output}: give a .json file for one policy, or a folder")
        targets = [output] if to_file else [output / f"{path.stem}.json" for path in policy_files]
        certifier = Certifier(game, expert, deviations=phi, exact=exact)
        one = (
            certify_with(certifier) if where.in_process else certify_anywhere(game_file, expert_file, phi, exact=exact)
        )
        _certify_files(certifier, one, policy_files, targets, where, as_json)
        return
    if len(policy_files) > 1 or exact:
        what = "several policies need" if len(policy_files) > 1 else "--exact needs"
        raise mo.errors.InvalidOption(f"{what} -o: where the certificates go")
    _show_numbers(game, mo.load_policy(policy_files[0], game), expert, deviations, method, as_json)


def _show_numbers(
    game: mo.MarkovGame,
    policy: mo.CorrelatedPolicy,
    expert: mo.CorrelatedPolicy | None,
    deviations: str,
    method: Method,
    as_json: bool,
) -> None:
    phi = _class_of(deviations)
    gap = None if expert is None else mo.regret_gap(game, policy, expert, phi, method=method)
    ours = mo.regret(game, policy, phi, method=method) if gap is None else gap.policy
    fields: dict[str, Any] = {
        "command": "certify",
        "version": mo.__version__,
        "game": repr(game),
        "deviations": deviations,
        "method": ours.method,
        "policy": _regret_fields(game, policy, ours),
    }
    if game.estimated_from is not None:
        fields["estimated_from"] = game.estimated_from
    if gap is not None and expert is not None:
        fields["expert"] = _regret_fields(game, expert, gap.expert)
        fields["value_gap"], fields["regret_gap"] = _value_gap(gap), gap.value
        fields["regret_gap_lower"], fields["regret_gap_upper"] = gap.lower, gap.upper
    if as_json:
        print_json(fields)
        return
    _out.print(f"[bold]{escape(repr(game))}[/bold]\n{deviations} deviations, {_METHODS[ours.method]}\n")
    table = table_of("", "agent", "obeying", "best deviation", "gain")
    for label, found in [("policy", ours)] + ([] if gap is None else [("expert", gap.expert)]):
        for agent, (value, gain) in enumerate(zip(found.obedience.value, found.per_agent, strict=True)):
            name = escape(game.agent_name(agent))
            table.add_row("" if agent else label, name, *(_number(x) for x in (value, value + gain, gain)))
    _out.print(table)
    if game.estimated_from is not None:
        _out.print(
            f"All of this is about a game that was estimated from {game.estimated_from} transitions, not about the "
            "true one; mo.estimated_regret bounds that."
        )
    _out.print(f"regret      {_enclosed(ours)}")
    if gap is not None:
        _out.print(f"value gap   {_number(fields['value_gap'])}\nregret gap  {_enclosed(gap)}")
    _print_departures(game, policy, ours.best)


def _without_folders(paths: list[Path]) -> list[Path]:
    """Put the policy files of a folder, in the order of their names, where it is given."""
    found = []
    for path in paths:
        inside = [path]
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in (".json", ".npz"))
        if not inside:
            raise mo.errors.InvalidOption(f"{path}: the folder has no .json or .npz files")
        found += inside
    return found


def _certify_files(
    certifier: Certifier, certify_one: CertifyOne, paths: list[Path], targets: list[Path], engine: Engine, as_json: bool
) -> None:
    """Write a certificate of each policy, and a summary of all."""
    if len(set(targets)) < len(targets):
        twice = next(target for target in targets if targets.count(target) > 1)
        raise mo.errors.InvalidOption(f"two policies would be certified in {twice}; give them different names")
    targets[0].parent.mkdir(parents=True, exist_ok=True)
    done: dict[int, Outcome] = {}
    try:
        with (
            shown(len(paths) > 1 and not as_json, "certifying", len(paths)) as advance,
            closing(certify_files(certify_one, paths, targets, engine)) as outcomes,
        ):
            for index, outcome in outcomes:
                done[index] = outcome
                advance(1)
    except KeyboardInterrupt:
        print(f"interrupted: {len(done)} of {len(paths)} done; run it again to go on", file=sys.stderr)
        raise
    rows = [_row(done[index], path, target) for index, (path, target) in enumerate(zip(paths, targets, strict=True))]
    if as_json:
        print_json({"command": "certify", "version": mo.__version__, "certificates": rows})
    else:
        shown_claims = ["value_gap", "policy.regret", "regret_gap"] if certifier.expert else ["policy.regret"]
        _out.print(f"deviations: {escape(checker.described(certifier.described))}")
        table = table_of(
            "policy", *(what.replace("policy.", "").replace("_", " ") for what in shown_claims), "width", ""
        )
        for row in rows:
            ends = [[Fraction(end) for end in row.get(what, [])] for what in shown_claims]
            width = f"{float(ends[-1][1] - ends[-1][0]):.1g}" if ends[-1] else ""
            table.add_row(escape(Path(row["policy"]).name), *map(_middle, ends), width, row["status"])
        _out.print(table)
        states = ("written", "replaced", "kept", "failed")
        counts = [f"{found} {state}" for state in states if (found := sum(row["status"] == state for row in rows))]
        _out.print(f"{', '.join(counts)}: {escape(str(targets[0] if len(targets) == 1 else targets[0].parent))}")
    failed = [row for row in rows if row["status"] == "failed"]
    for row in failed:
        print(f"error: {row['error']}", file=sys.stderr)
    if failed:
        raise typer.Exit(2)


def _row(outcome: Outcome, path: Path, target: Path) -> dict[str, Any]:
    """Say what became of a policy."""
    row: dict[str, Any] = {"policy": str(path), "certificate": str(target), "status": outcome.status}
    if isinstance(outcome.found, str):
        return row | {"error": outcome.found}
    return row | {what: list(map(str, ends)) for what, ends in outcome.found.claim.items()}


@app.command()
def verify(
    certificate_file: Annotated[Path, typer.Argument(metavar="CERT", help="Certificate file.")],
    game_file: Annotated[Path, typer.Argument(metavar="GAME", help="Game file, .json or .npz.")],
    policy_file: Annotated[Path, typer.Argument(metavar="POLICY", help="Policy file, .json or .npz.")],
    expert_file: Annotated[Path | None, typer.Option("--expert", metavar="FILE", help="Expert policy file.")] = None,
    as_json: Json = False,
) -> None:
    """Check a certificate: exit status 0 if its claim is proved, 1 if it is not, 2 for files that cannot be read.

    JSON files go to the checker as they are; from .npz files this program makes what it reads.
    """
    paths = [path for path in (game_file, policy_file, expert_file) if path is not None]
    contents: list[object] = [path.read_bytes() for path in paths]
    if any(path.suffix.lower() == ".npz" for path in paths):
        game = mo.load_game(game_file)
        contents = [game_content(game), *(policy_content(mo.load_policy(path, game), game) for path in paths[1:])]
    verdict = checker.verify(certificate_file.read_bytes(), *contents)
    if as_json:
        proved = {what: list(map(str, ends)) for what, ends in verdict.proved.items()}
        print_json(
            {
                "command": "verify",
                "valid": verdict.valid,
                "reason": verdict.reason,
                "proved": proved,
                "deviations": verdict.deviations,
            }
        )
    else:
        table = table_of("", "at least", "at most")
        for what, interval in verdict.proved.items():
            table.add_row(what, *checker.written(interval))
        if verdict.proved:
            _out.print(table)
            _out.print(f"Deviations: {escape(checker.described(verdict.deviations))}")
        outcome = "proved" if verdict.valid else "NOT CHECKED" if verdict.malformed else "NOT PROVED"
        _out.print(f"[bold]{outcome}[/bold]: {escape(verdict.reason)}")
    if not verdict.valid:
        raise typer.Exit(2 if verdict.malformed else 1)


@app.command(name="import")
def import_game(
    spec: Annotated[
        str,
        typer.Argument(
            help="What to import: 'openspiel:goofspiel(num_cards=3)', 'pettingzoo:classic/rps-v2' or 'gambit:FILE.nfg'."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Game file to write, .json or .npz.")],
    time: Annotated[
        Literal["layered", "step"], typer.Option(help="Put the step into the states, or into the kernels.")
    ] = "layered",
    discount: Annotated[float | None, typer.Option(help="Make a discounted game with this factor.")] = None,
    max_states: Annotated[int, typer.Option(help="Most states to find.")] = 1_000_000,
    as_json: Json = False,
) -> None:
    """Turn a game of another framework into a game file."""
    framework, _, name = spec.partition(":")
    if framework not in ("openspiel", "pettingzoo", "gambit") or not name:
        raise mo.errors.InvalidOption(
            f"cannot import {spec!r}; give 'openspiel:' and an OpenSpiel game string, 'pettingzoo:' and the name of an "
            "environment, or 'gambit:' and a .nfg file"
        )
    from mailopt.interop import gambit, openspiel, pettingzoo  # noqa: PLC0415 - only this command needs them

    if framework == "openspiel":
        game = openspiel.unroll(name, time=time, discount=discount, max_states=max_states).game
    elif framework == "pettingzoo":
        game = pettingzoo.unroll(pettingzoo.make(name), time=time, discount=discount, max_states=max_states).game
    else:
        game = gambit.load_nfg(name).game
    game.save(output)
    if as_json:
        print_json({"command": "import", "spec": spec, "game": repr(game), "output": str(output)})
    else:
        _out.print(f"{escape(repr(game))}\nwritten to {escape(str(output))}")


def _value_gap(gap: mo.RegretGap) -> float:
    """Value gap of the two sides of a regret gap, which know their values."""
    return float((gap.expert.obedience.value - gap.policy.obedience.value).max())


def _regret_fields(game: mo.MarkovGame, policy: mo.CorrelatedPolicy, found: mo.Regret) -> dict[str, Any]:
    weight = "probability" if game.horizon is not None else "discounted_frequency"
    return {
        "values": found.obedience.value.tolist(),
        "regret": found.value,
        "gains": found.per_agent.tolist(),
        "agent": found.agent,
        "regret_lower": found.lower,
        "regret_upper": found.upper,
        "departures": [
            {
                "step": d.step,
                "state": d.state,
                "state_name": game.state_name(d.state),
                "recommended": d.recommended,
                "played": d.played,
                weight: d.probability,
            }
            for d in found.best.departures(game, policy)
        ],
    }


def _walks(game: mo.MarkovGame, agent: int, policies: dict[str, mo.CorrelatedPolicy]) -> Table:
    """Where each policy walks in a game in which all paths are certain, and what the agent is paid on the way."""
    table = table_of("step", *policies)
    paths = [mo.occupancy(game, policy) for policy in policies.values()]
    steps = len(paths[0])
    shown = list(range(steps)) if steps <= _SHOWN else [*range(_SHOWN - 1), steps - 1]
    for step in shown:
        if step > 0 and step - 1 not in shown:
            table.add_row(*(["..."] * (1 + len(paths))))
        cells = []
        for path in paths:
            state, joint = (int(k) for k in np.argwhere(path[step] > 0)[0])
            paid = game.reward(step)[agent, state, joint]
            cells.append(f"{game.state_name(state):<4}{game.joint_action(joint)} pays {_number(paid)}")
        table.add_row(str(step), *cells)
    return table


def _print_departures(game: mo.MarkovGame, policy: mo.CorrelatedPolicy, best: mo.BestDeviation) -> None:
    found = best.departures(game, policy)
    name = game.agent_name(best.agent)
    if not found:
        _out.print(f"\nThe best deviation of {escape(name)} never disobeys.")
        return
    finite = game.horizon is not None
    weight = "probability" if finite else "discounted frequency"
    staged = best.occupancy.ndim == 4  # a stationary policy of a discounted game has just one stage
    table = table_of(*([("step" if finite else "stage")] if staged else []), "state", "told", "plays", weight)
    for d in found[:_SHOWN]:
        actions = (game.action_name(best.agent, d.recommended), game.action_name(best.agent, d.played))
        texts = (escape(text) for text in (game.state_name(d.state), *actions))
        table.add_row(*([str(d.step)] if staged else []), *texts, f"{d.probability:.6g}")
    outcome = f"gains {_number(best.gain)}" if best.gain >= 0 else f"loses {_number(-best.gain)}"
    _out.print(f"\nBest deviation: {escape(name)} {outcome} by disobeying here")
    _out.print(table)
    if len(found) > _SHOWN:
        _out.print(f"... and at {len(found) - _SHOWN} more places (--json lists all)")


def _number(value: float) -> str:
    return f"{value:.10g}"


def _enclosed(found: mo.Regret | mo.RegretGap) -> str:
    """Value, and how far the true one can be from it at most."""
    off = max(found.upper - found.value, found.value - found.lower)
    return f"{_number(found.value)}  (proved to within {off:.1g})"


def _middle(ends: list[Fraction]) -> str:
    """Write the middle of an interval; nothing without ends."""
    if not ends:
        return ""
    return f"{middle(checker.Interval(*ends)):.6g}"


def _class_of(text: str) -> mo.DeviationClass:
    """Read the name of a class of deviations."""
    name, _, argument = text.partition(":")
    if text in _CLASSES:
        return _CLASSES[text]
    numbers = {"limited": int, "budget": float}
    try:
        number = numbers[name](argument)
    except (KeyError, ValueError):
        raise mo.errors.InvalidOption(f"--deviations is {text!r}; it must be {_OFFERED}") from None
    return mo.Limited(int(number)) if name == "limited" else mo.Budget(number)
