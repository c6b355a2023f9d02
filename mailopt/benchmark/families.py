"""Families of instances, each scaled by one number and drawn by a seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache

import numpy as np

from mailopt import programs
from mailopt.benchmark import optima
from mailopt.benchmark.games import PAYOFFS, markov_game, normal_form, policy_of
from mailopt.benchmark.variants import dual, repeated, scaled, writable
from mailopt.deviations import External, Swap
from mailopt.games.game import MarkovGame
from mailopt.imitation.blades import blades
from mailopt.imitation.demonstrations import Demonstrations, sample_demonstrations
from mailopt.imitation.malice import malice
from mailopt.imitation.moment_matching import inverse_reinforcement_learning
from mailopt.programs.objectives import Weighted
from mailopt.programs.policy_classes import Aggregated
from mailopt_solvers import ExactSolution, InvalidOption, LinearProgram, solve_exact
from mailopt_solvers.benchmark import Instance

_ROUNDS = 8  # of MALICE
_EPISODES = 64  # of J-IRL; a power of two, so that frequencies are exact


@dataclass(frozen=True)
class Made:
    """A program, its optimum by routes of their own, and routes that start from its exact solution."""

    program: LinearProgram
    routes: Mapping[str, Fraction] = field(default_factory=dict)
    proofs: Mapping[str, Callable[[ExactSolution], Fraction]] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """A family of instances.

    Attributes
    ----------
    name
        Its name.
    about
        What its programs are, and what the size is.
    make
        ``make(size, seed)``: one program, or the rounds of a sequence.
    sizes
        Sizes in each collection, by the collection's name.
    """

    name: str
    about: str
    make: Callable[[int, int], list[Made]]
    sizes: Mapping[str, tuple[int, ...]]

    def instance(self, size: int, seed: int = 0) -> Instance:
        """Make an instance, its optima held together by all routes.

        Raises
        ------
        WrongAnswer
            Two routes to an optimum differ.
        SolverError
            A program could not be solved.
        MissingDependency
            A framework that the family needs is not installed.
        """
        made = [replace(part, program=writable(part.program)) for part in self.make(size, seed)]
        held = [optima.known(part.program, part.routes, part.proofs) for part in made]
        name = f"{self.name}-{size}" + (f"-seed{seed}" if seed else "")
        return Instance(
            name,
            self.name,
            size,
            seed,
            tuple(part.program for part in made),
            tuple(optimum for optimum, _ in held),
            tuple(proof for _, proof in held),
        )


def _deviation(size: int, seed: int) -> list[Made]:
    return [_deviating(markov_game(size, seed), seed)]


def _deviating(game: MarkovGame, seed: int) -> Made:
    policy = policy_of(game, seed)
    return Made(programs.deviation(game, policy, 0), {optima.BY_RECURSION: optima.values_of(game, policy, 0)[1]})


def _value_functions(size: int, seed: int) -> list[Made]:
    made = _deviating(markov_game(size, seed), seed)
    return [replace(made, program=dual(made.program))]


def _discounted(size: int, seed: int) -> list[Made]:
    return [_deviating(markov_game(size, seed, horizon=0), seed)]


def _obedient(size: int, seed: int) -> list[Made]:
    game = markov_game(size, seed)
    policy = policy_of(game, seed)
    program = programs.flow(game, policy=policy, objective=game.reward(0)[0])
    return [Made(program, {optima.BY_RECURSION: optima.values_of(game, policy, 0)[0]})]


def _degenerate(size: int, seed: int) -> list[Made]:
    made = _deviating(markov_game(size, seed, rewards=1, copies=2), seed)
    return [replace(made, program=repeated(made.program))]


def _scaled_deviation(size: int, seed: int) -> list[Made]:
    made = _deviating(markov_game(size, seed), seed)
    return [replace(made, program=scaled(made.program, seed))]


def _goofspiel(size: int, seed: int) -> list[Made]:
    return [_deviating(_spiel(f"goofspiel(num_cards={size},points_order=descending)"), seed)]


def _equilibrium(kind: str, *, swap: bool = True) -> Callable[[int, int], list[Made]]:
    def make(size: int, seed: int) -> list[Made]:
        return [_best(normal_form(kind, size, seed), swap=swap)]

    return make


def _blotto(size: int, seed: int) -> list[Made]:
    game = _spiel(f"blotto(coins={size},fields=3,players=2)")
    payoffs = game.reward(0)[:, int(np.argmax(game.initial))].reshape(-1, *game.actions)
    return [_best(MarkovGame.from_normal_form(payoffs), swap=True, weights=(1, 0))]  # welfare is always 0


def _best(game: MarkovGame, *, swap: bool, weights: tuple[int, ...] | None = None) -> Made:
    """Best (coarse) correlated equilibrium of a normal form, by a weighted sum of payoffs, welfare unless given."""
    weights = weights or (1,) * game.num_agents
    program = programs.equilibrium(game, Swap() if swap else External(), objective=Weighted(weights))
    proofs = {optima.ON_PAYOFFS: lambda solution: optima.on_payoffs(game, solution, weights, swap=swap)}
    payoffs = game.reward(0)[:, 0, :]
    common = bool((payoffs == payoffs[0]).all())
    routes = {optima.LARGEST_PAYOFF: Fraction(payoffs.sum(axis=0).max())} if common else {}
    return Made(program, routes, proofs)


def _scaled_equilibrium(size: int, seed: int) -> list[Made]:
    made = _best(normal_form("near-zero-sum", size, seed), swap=True)
    return [Made(scaled(made.program, seed), {optima.SCALED: solve_exact(made.program).objective})]


def _master_of_malice(size: int, seed: int) -> list[Made]:
    return _malice(size, seed)[-1:]


@lru_cache(maxsize=8)  # two families share it
def _malice(size: int, seed: int) -> list[Made]:
    """Programs of the rounds of MALICE with cutting planes, for policies that take states for the same in pairs."""
    game = markov_game(size, seed)
    shown = Demonstrations.from_policy(game, policy_of(game, seed))
    aliased = Aggregated(np.arange(size) // 2)
    rounds = [
        malice(game, shown, policy_class=aliased, uncovered="charge", rounds=count).program
        for count in range(2, _ROUNDS + 2)
    ]
    sizes = [program.num_rows for program in rounds if program is not None]
    return [Made(p) for k, p in enumerate(rounds) if p is not None and p.num_rows not in sizes[:k]]


def _master_of_blades(size: int, seed: int) -> list[Made]:
    game = markov_game(size, seed)
    found = blades(game, policy_of(game, seed), policy_class=Aggregated(np.arange(size) // 2), rounds=_ROUNDS)
    assert found.program is not None
    return [Made(found.program)]


def _moments(size: int, seed: int) -> list[Made]:
    game = markov_game(size, seed)
    shown = sample_demonstrations(game, policy_of(game, seed), _EPISODES, seed=seed)
    found = inverse_reinforcement_learning(game, shown)
    assert found.program is not None
    by_reward = {optima.BY_REWARD: lambda exact: optima.least_distance(game, shown.occupancy, exact)}
    return [Made(found.program, {}, by_reward)]


def _spiel(name: str) -> MarkovGame:
    from mailopt.interop import openspiel  # noqa: PLC0415 - optional

    return openspiel.unroll(name).game


def _sizes(small: tuple[int, ...], medium: tuple[int, ...], large: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {"small": small, "medium": medium, "large": large}


FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family(
            "deviation",
            "Deviation occupancies of one agent (swap deviations); states, and as many steps",
            _deviation,
            _sizes((4, 8, 16), (24, 32), (48, 64)),
        ),
        Family(
            "deviation-dual",
            "Value functions of the best deviation, the dual of it; states, and as many steps",
            _value_functions,
            _sizes((4, 8, 16), (24, 32), (48, 64)),
        ),
        Family(
            "deviation-discounted",
            "Deviation occupancies with discount factor 15/16; states",
            _discounted,
            _sizes((8, 24, 64), (96, 128), (192, 256)),
        ),
        Family(
            "obedient-flow",
            "Occupancy of one policy, the only feasible point; states, and as many steps",
            _obedient,
            _sizes((4, 8, 16), (24, 32), (48, 64)),
        ),
        Family(
            "degenerate",
            "Deviation occupancies, rewards 0 and 1, actions and rows that are there twice; states, and as many steps",
            _degenerate,
            _sizes((4, 6, 10), (12, 16), (24, 32)),
        ),
        Family(
            "scaled-deviation",
            "Deviation occupancies with rows and columns scaled by 2^-12 to 2^12; states, and as many steps",
            _scaled_deviation,
            _sizes((4, 8, 16), (24, 32), (48, 64)),
        ),
        Family(
            "openspiel-goofspiel",
            "Deviation occupancies in OpenSpiel's Goofspiel with open bids; cards",
            _goofspiel,
            _sizes((3, 4), (5,), (5,)),
        ),
        *(
            Family(
                f"ce-{kind}",
                f"Best correlated equilibrium, {kind} payoffs, {PAYOFFS[kind][0]} agents; actions of each",
                _equilibrium(kind),
                sizes,
            )
            for kind, sizes in {
                "random": _sizes((4, 8, 16), (24, 32), (48, 64)),
                "near-zero-sum": _sizes((4, 8, 16), (20, 24), (28, 32)),
                "coordination": _sizes((4, 8, 16), (24, 32), (48, 64)),
                "covariant": _sizes((3, 5, 7), (8, 10), (12, 14)),
                "congestion": _sizes((3, 5, 7), (8, 10), (12, 14)),
            }.items()
        ),
        *(
            Family(
                f"cce-{kind}",
                f"Best coarse correlated equilibrium, {kind} payoffs, {PAYOFFS[kind][0]} agents; actions of each",
                _equilibrium(kind, swap=False),
                sizes,
            )
            for kind, sizes in {
                "random": _sizes((4, 12, 32), (48, 64), (96, 128)),
                "near-zero-sum": _sizes((4, 12, 24), (32, 40), (48, 64)),
            }.items()
        ),
        Family(
            "openspiel-blotto",
            "Correlated equilibrium of OpenSpiel's Colonel Blotto on 3 fields best for one agent; coins",
            _blotto,
            _sizes((4, 5), (6,), (7,)),
        ),
        Family(
            "scaled-ce",
            "Best correlated equilibrium, near-zero-sum, rows and columns scaled by 2^-12 to 2^12; actions of each",
            _scaled_equilibrium,
            _sizes((4, 8, 12), (16, 20), (24, 28)),
        ),
        Family(
            "malice-master",
            f"Master program of MALICE after {_ROUNDS} rounds; states, and as many steps",
            _master_of_malice,
            _sizes((4, 6, 8), (10, 12), (16, 20)),
        ),
        Family(
            "malice-rounds",
            f"Up to {_ROUNDS} rounds of MALICE, for the warm track; states, and as many steps",
            _malice,
            _sizes((4, 6, 8), (10, 12), (16, 20)),
        ),
        Family(
            "blades-master",
            "Master program of BLADES; states, and as many steps",
            _master_of_blades,
            _sizes((4, 6, 8), (10, 12), (16, 20)),
        ),
        Family(
            "j-irl",
            "Occupancy nearest to that of 64 demonstrations, for rewards in [-1, 1]; states, and as many steps",
            _moments,
            _sizes((4, 6, 10), (12, 16), (20, 24)),
        ),
    )
}
"""All families by name."""


def family_named(name: str) -> Family:
    """Return a family.

    Raises
    ------
    InvalidOption
        There is none of that name.
    """
    if name not in FAMILIES:
        raise InvalidOption(f"there is no family {name!r}; there are {', '.join(FAMILIES)}")
    return FAMILIES[name]
