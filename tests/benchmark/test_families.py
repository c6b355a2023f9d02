"""Families of instances: exact data, optima that independent routes agree on, and enumeration of all deviations."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import mailopt as mo
from mailopt.benchmark import FAMILIES, export, optima
from mailopt.benchmark.games import markov_game, normal_form, policy_of
from mailopt.benchmark.variants import dual, repeated, scaled, writable
from mailopt_solvers import InvalidOption, MalformedCollection, WrongAnswer, solve, solve_exact
from mailopt_solvers.benchmark import Collection

ROUTES = {
    "deviation": optima.BY_RECURSION,
    "deviation-dual": optima.BY_RECURSION,
    "deviation-discounted": optima.BY_RECURSION,
    "obedient-flow": optima.BY_RECURSION,
    "degenerate": optima.BY_RECURSION,
    "scaled-deviation": optima.BY_RECURSION,
    "openspiel-goofspiel": optima.BY_RECURSION,
    "ce-coordination": optima.LARGEST_PAYOFF,
    "scaled-ce": optima.SCALED,
    "j-irl": optima.BY_REWARD,
}

UNSEEDED = ("malice", "blades", "openspiel")  # with the vertices that HiGHS finds, or without a seed


def test_the_small_collection(tmp_path: Path) -> None:
    """Every optimum is proved by a second method, doubles agree, and sequences continue."""
    small = export(tmp_path, "small")
    check_methods(small)
    check_doubles(small)
    check_sequences(small)


def check_methods(small: Collection) -> None:
    assert {entry.family for entry in small.entries} == set(FAMILIES)
    for entry in small.entries:
        if entry.size == FAMILIES[entry.family].sizes["small"][0]:  # each was proved when it was written
            assert small.verify(entry), entry.name
        for part in entry.programs:
            assert len(part.optimum.methods) >= 2
            assert part.optimum.methods[0] == optima.IN_FRACTIONS
            assert part.optimum.methods[-1] == "weak duality on the file"
            assert part.optimum.lower == part.optimum.upper
            assert ROUTES.get(entry.family, "") in ("", *part.optimum.methods)
            if entry.family.startswith(("ce-", "cce-", "openspiel-blotto")):
                assert optima.ON_PAYOFFS in part.optimum.methods


def check_doubles(small: Collection) -> None:
    for entry in small.entries:
        for program, part in zip(small.programs(entry), entry.programs, strict=True):
            assert part.optimum.error(solve(program).objective) < 1e-8, entry.name


def check_sequences(small: Collection) -> None:
    sequences = [entry for entry in small.entries if entry.is_sequence]
    assert {entry.family for entry in sequences} == {"malice-rounds"}
    for entry in sequences:
        programs = small.programs(entry)
        assert len(programs) >= 3
        for before, after in itertools.pairwise(programs):
            m, n = before.num_rows, before.num_variables
            assert after.num_rows > m
            assert (after.matrix.toarray()[:m, :n] == before.matrix.toarray()).all()
            assert (after.row_lower[:m] == before.row_lower).all()
            assert (after.costs[:n] == before.costs).all()


@pytest.mark.parametrize(
    "family", [name for name in FAMILIES if not name.startswith(("malice", "blades", "openspiel"))]
)
def test_a_seed_makes_the_same_again(family: str, tmp_path: Path) -> None:
    size = FAMILIES[family].sizes["small"][0]
    one, two = (export(tmp_path / name, families=[family], sizes=[size], seeds=[3, 4]) for name in ("one", "two"))
    assert one.entries == two.entries
    assert one.name == "part of small"
    assert [entry.name for entry in one.entries] == [f"{family}-{size}-seed3", f"{family}-{size}-seed4"]
    assert len({entry.digest for entry in one.entries}) == 2


@pytest.mark.parametrize("seed", range(5))
def test_enumerated_deviations(seed: int) -> None:
    """The optimum is the largest value over all maps from state, step and recommendation to actions."""
    game = markov_game(2, seed, horizon=1 + seed % 2)
    policy = policy_of(game, seed)
    rows = [[policy.at(h)[s] for s in range(2)] for h in range(game.horizon or 0)]
    rules = list(itertools.product(range(3), repeat=3))

    def value(step: int, state: int) -> Fraction:
        if step == game.horizon:
            return Fraction(0)
        follows = [value(step + 1, t) for t in range(2)]
        kernel = game.kernels[0].rows().toarray().reshape(2, 9, 2)
        worth = []
        for rule in rules:
            total = Fraction(0)
            for told, other in itertools.product(range(3), repeat=2):
                joint = 3 * rule[told] + other
                next_value = sum(
                    (Fraction(p) * v for p, v in zip(kernel[state, joint], follows, strict=True)), Fraction(0)
                )
                total += Fraction(rows[step][state][3 * told + other]) * (
                    Fraction(game.reward(step)[0, state, joint]) + next_value
                )
            worth.append(total)
        return max(worth)

    program = mo.programs.deviation(game, policy, 0)
    found = value(0, 0)
    assert solve_exact(program).objective == found == optima.values_of(game, policy, 0)[1]
    assert solve_exact(dual(program)).objective == found
    assert solve_exact(repeated(program)).objective == found
    assert solve_exact(scaled(program, seed)).objective == found


@pytest.mark.parametrize("seed", range(10))
def test_games_are_exact_in_doubles(seed: int) -> None:
    """What doubles hold is what fractions say: no rounding on the way to the program."""
    game = markov_game(5, seed, horizon=3)
    policy = policy_of(game, seed)
    for rows in (game.kernels[0].rows().toarray(), policy.at(0)):
        assert (rows * 64 == np.rint(rows * 64)).all()
        assert (rows.sum(axis=-1) == 1).all()
    data = mo.programs.deviation(game, policy, 0, formulation="direct").matrix.data * 4096
    assert (data == np.rint(data)).all()


def test_payoffs_have_the_names_of_their_kinds() -> None:
    for seed in range(5):
        near = normal_form("near-zero-sum", 6, seed).reward(0)[:, 0]
        assert 0 <= near.sum(axis=0).min() <= near.sum(axis=0).max() <= 10
        same = normal_form("coordination", 5, seed).reward(0)[:, 0]
        assert (same[0] == same[1]).all()
        congestion = normal_form("congestion", 4, seed).reward(0)[:, 0].reshape(3, 4, 4, 4)
        assert congestion[0, 1, 2, 3] == congestion[0, 1, 3, 2] == congestion[0, 1, 0, 0]  # only the load counts
        assert congestion[0, 1, 1, 2] == congestion[1, 1, 1, 2] < congestion[0, 1, 0, 2]


def test_an_optimum_that_is_wrong_is_noticed() -> None:
    game = normal_form("random", 3, 0)
    program = writable(mo.programs.equilibrium(game))
    solution = solve_exact(program)
    assert optima.on_payoffs(game, solution, (1, 1), swap=True) == solution.objective
    with pytest.raises(WrongAnswer, match="the multipliers prove"):
        optima.on_payoffs(game, solution, (-5, 1), swap=True)
    with pytest.raises(WrongAnswer, match="gains by playing"):
        optima.on_payoffs(normal_form("random", 3, 1), solution, (1, 1), swap=True)
    with pytest.raises(WrongAnswer, match="simplex basis in fractions has"):
        optima.known(program, {"a guess": Fraction(1)}, {})


def test_scaling_is_bad_and_changes_nothing() -> None:
    made = FAMILIES["scaled-ce"].instance(6)
    sizes = np.abs(made.programs[0].matrix.data)
    assert sizes.max() / sizes.min() > 1e9
    assert made.optima[0].lower == FAMILIES["ce-near-zero-sum"].instance(6).optima[0].lower


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="no collection 'tiny'; there are small, medium, large"):
        export(tmp_path, "tiny")
    with pytest.raises(InvalidOption, match="no family 'chess'; there are deviation,"):
        export(tmp_path, families=["chess"])
    with pytest.raises(InvalidOption, match="size 1"):
        export(tmp_path, families=["ce-random"], sizes=[1])
    with pytest.raises(InvalidOption, match="seed -1"):
        export(tmp_path, families=["ce-random"], seeds=[-1])
    export(tmp_path, families=["ce-random"], sizes=[2])
    with pytest.raises(MalformedCollection, match="exists"):
        export(tmp_path, families=["ce-random"], sizes=[2])
