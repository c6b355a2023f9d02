"""Classes of deviations as the library has them, each with what the exact oracle says of the same class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np

import mailopt as mo
from tests import exact_games, oracle_classes
from tests.exact_games import Case
from tests.oracle import ExactGame, Number, Phi, Policy, Row, at, deviate, dot, value
from tests.oracle_classes import Kind, Maps, Mask, budget_value, stages, with_state_rewards

Best = Callable[[ExactGame, Policy, int], Fraction | None]


@dataclass(frozen=True)
class Paired:
    """A class of the library, and its best value max over phi of J_i(phi∘sigma) by the oracle.

    ``maps``: the stages of a class that chooses freely; ``members``: all deviations of an agent where they can be told.
    """

    library: mo.DeviationClass
    best: Best
    maps: Maps | None = None
    members: Callable[[ExactGame, Policy, int], Iterator[Phi]] | None = None

    def gains(self, game: ExactGame, policy: Policy) -> list[Fraction | None]:
        """Each agent's best gain over obedience, None without any deviation."""
        found = []
        for i in game.agents:
            best = self.best(game, policy, i)
            found.append(None if best is None else best - value(game, policy, i))
        return found

    def regret(self, game: ExactGame, policy: Policy) -> Fraction:
        return max(gain for gain in self.gains(game, policy) if gain is not None)

    def reach(self, game: ExactGame, policy: Policy) -> list[Row]:
        """Max over agents and deviations of Pr(s_h = s), each by its own recursion; discounted, of d(s), one row."""

        def most(pays: list[Row]) -> Fraction:
            paid = with_state_rewards(game, pays)
            found = [self.best(paid, policy, i) for i in game.agents]
            return max(chance for chance in found if chance is not None)

        if game.horizon is None:
            return [[(1 - game.discount) * most([[Fraction(s == t) for t in game.states]]) for s in game.states]]
        steps = range(game.horizon)
        return [
            [most([[Fraction((h, s) == (g, t)) for t in game.states] for g in steps]) for s in game.states]
            for h in steps
        ]


def free(library: mo.DeviationClass, maps: Maps) -> Paired:
    """A class that chooses freely at each stage."""

    def members(game: ExactGame, policy: Policy, agent: int) -> Iterator[Phi]:
        return oracle_classes.class_deviations(game, agent, maps, oracle_classes.steps_of(game, policy))

    def best(game: ExactGame, policy: Policy, agent: int) -> Fraction:
        return oracle_classes.class_value(game, policy, agent, maps)

    return Paired(library, best, maps, members)


SWAP, EXTERNAL = free(mo.Swap(), stages("swap")), free(mo.External(), stages("external"))
COARSE, INTERNAL = free(mo.Coarse(), stages("coarse")), free(mo.Internal(), stages("internal"))
FOUR = [SWAP, EXTERNAL, COARSE, INTERNAL]


def random_cells(rng: Random, game: ExactGame) -> list[list[int]]:
    return [[rng.randrange(2) for _ in range(n)] for n in game.actions]


def partition(rng: Random, game: ExactGame) -> Paired:
    cells = random_cells(rng, game)
    return free(mo.Partition(cells), stages("partition", cells=cells))


def restricted(rng: Random, game: ExactGame, kind: Kind) -> Paired:
    """Random masks of each shape, None among them; redrawn until something is left to play everywhere."""
    cells = random_cells(rng, game)
    inner: dict[Kind, Any] = {
        "swap": mo.Swap(),
        "external": mo.External(),
        "coarse": mo.Coarse(),
        "internal": mo.Internal(),
        "partition": mo.Partition(cells),
    }
    size, steps = len(game.initial), game.horizon or 1
    for attempt in range(100):
        given: list[Any] = []
        exact: list[Mask | None] = []
        for n in game.actions:
            lead = rng.choice([(), (size,), (steps, size)] if game.horizon else [(), (size,)])
            mask = np.array([rng.random() < 0.5 + attempt / 200 for _ in range(int(np.prod(lead)) * n * n)])
            mask = mask.reshape(*lead, n, n)
            skipped = rng.random() < 0.2
            given.append(None if skipped else mask)
            exact.append(None if skipped else np.broadcast_to(mask, (steps, size, n, n)).tolist())
        maps = stages(kind, cells=cells, masks=exact)
        if all(oracle_classes.class_size(game, i, maps, steps) for i in game.agents):
            return free(mo.Restricted(given, inner[kind]), maps)
    return free(inner[kind], stages(kind, cells=cells))


def limited(k: int, inner: Paired = SWAP) -> Paired:
    assert isinstance(inner.library, mo.Swap | mo.External | mo.Coarse | mo.Internal | mo.Partition | mo.Restricted)
    maps = inner.maps

    def best(game: ExactGame, policy: Policy, agent: int) -> Fraction:
        return oracle_classes.limited_value(game, policy, agent, k, maps)

    return Paired(mo.Limited(k, inner.library), best)


def budget(kappa: float) -> Paired:
    def best(game: ExactGame, policy: Policy, agent: int) -> Fraction:
        vertices = oracle_classes.budget_vertices_by_recursion(game, policy, agent)
        return budget_value(vertices, Fraction(kappa))

    return Paired(mo.Budget(kappa), best)


def stationary() -> Paired:
    return Paired(
        mo.Stationary(),
        oracle_classes.stationary_value,
        None,
        lambda game, _, agent: oracle_classes.class_deviations(game, agent, stages("swap"), 1),
    )


def random_phi(rng: Random, game: ExactGame, agent: int, steps: int, *, mixed: bool = True) -> Phi:
    """Deviation that obeys here and there and may draw what it plays, in quarters."""

    def row(s: int, told: int) -> dict[int, Fraction]:
        legal = game.legal[agent][s]
        if rng.random() < 0.3 and told in legal:
            return {told: Fraction(1)}
        if not mixed or rng.random() < 0.5:
            return {rng.choice(legal): Fraction(1)}
        plays: dict[int, Fraction] = {}
        for b in rng.choices(legal, k=4):
            plays[b] = plays.get(b, Fraction(0)) + Fraction(1, 4)
        return plays

    return [[[row(s, a) for a in range(game.actions[agent])] for s in game.states] for _ in range(steps)]


def finite(rng: Random, game: ExactGame, count: int = 3, *, agents: Sequence[int] | None = None) -> Paired:
    """A list of random deviations, stationary or not; agents may have none."""
    listed: dict[int, list[Phi]] = {i: [] for i in game.agents}
    chosen = agents or rng.sample(list(game.agents), rng.randint(1, len(game.actions)))
    for i in chosen:
        for _ in range(rng.randint(1, count)):
            listed[i].append(random_phi(rng, game, i, rng.choice((1, game.horizon or 2))))
    return listed_class(listed, game)


def listed_class(listed: dict[int, list[Phi]], game: ExactGame) -> Paired:
    def best(paid: ExactGame, policy: Policy, agent: int) -> Fraction | None:
        given = listed.get(agent)
        return oracle_classes.finite_value(paid, policy, agent, given) if given else None

    library = mo.Finite([library_phi(phi, i, game) for i, given in listed.items() for phi in given])
    return Paired(library, best, None, lambda _, __, agent: iter(listed.get(agent, [])))


def every_class(seed: int, game: ExactGame) -> list[Paired]:
    """One of each kind but Budget and Stationary."""
    rng = Random(seed)
    kinds: list[Kind] = ["swap", "external", "coarse", "internal", "partition"]
    return [
        *FOUR,
        partition(rng, game),
        *(restricted(rng, game, kind) for kind in kinds),
        limited(0),
        limited(1),
        limited(2, restricted(rng, game, "internal")),
        limited(1, EXTERNAL),
        finite(rng, game),
    ]


# From exact to the library's, and back


def library_phi(phi: Phi, agent: int, game: ExactGame) -> mo.Deviation:
    n = game.actions[agent]
    table = np.array([[[[float(row.get(b, 0)) for b in range(n)] for row in rows] for rows in step] for step in phi])
    return mo.Deviation(agent, table if len(table) > 1 else table[0])


def exact_phi(deviation: mo.Deviation) -> Phi:
    """The deviation that the doubles of the library's stand for."""
    table = deviation.probabilities
    steps = (table if table.ndim == 4 else table[None]).tolist()

    def plays(row: list[float]) -> dict[int, Fraction]:
        total = sum(map(Fraction, row))
        return {b: Fraction(p) / total for b, p in enumerate(row) if p}

    return [[[plays(row) for row in rows] for rows in step] for step in steps]


def exact_policy_of(policy: mo.CorrelatedPolicy) -> Policy:
    """The policy that the doubles of the library's stand for."""
    table = policy.probabilities
    steps = (table if table.ndim == 3 else table[None]).tolist()
    return [[[Fraction(p) / sum(map(Fraction, row)) for p in row] for row in rows] for rows in steps]


def library_game(game: ExactGame) -> mo.MarkovGame:
    kernels = [np.array(kernel, dtype=object) for kernel in game.transitions]
    rewards = np.array(game.rewards, dtype=object)
    legal = [
        np.array([[b in allowed for b in range(n)] for allowed in rows])
        for n, rows in zip(game.actions, game.legal, strict=True)
    ]
    return mo.MarkovGame(
        kernels if len(kernels) > 1 else kernels[0],
        rewards if len(rewards) > 1 else rewards[0],
        np.array(game.initial, dtype=object),
        game.actions,
        horizon=game.horizon,
        discount=None if game.horizon is not None else game.discount,
        legal=legal,
    )


def library_policy(policy: Policy) -> mo.CorrelatedPolicy:
    table = np.array(policy, dtype=object)
    return mo.CorrelatedPolicy(table if len(table) > 1 else table[0])


def attained(game: ExactGame, policy: Policy, deviation: mo.Deviation) -> Fraction:
    """Exact J_i(phi∘sigma) of a deviation that the library returned; for one that counts, of a finite horizon."""
    agent = deviation.agent
    if not isinstance(deviation, mo.LimitedDeviation):
        return value(game, deviate(game, policy, agent, exact_phi(deviation)), agent)
    assert game.horizon is not None
    choices = deviation.choices
    layers = choices.shape[-3]
    values = [[Fraction(0) for _ in game.states] for _ in range(layers)]
    for h in reversed(range(game.horizon)):
        here = choices if choices.ndim == 3 else choices[h]

        def stage(j: int, s: int, h: int = h, here: Any = here, after: list[Row] = values) -> Fraction:
            total = Fraction(0)
            for joint, weight in enumerate(at(policy, h)[s]):
                told = game.joint_actions[joint][agent]
                plays = int(here[j, s, told])
                if weight:
                    left = after[j - (plays != told)]
                    assert j or plays == told
                    total += weight * game.q_value(h, agent, s, game.replaced(joint, agent, plays), left)
            return total

        values = [[stage(j, s) for s in game.states] for j in range(layers)]
    return dot(game.initial, values[-1])


# Random cases


def any_case(seed: int, *, discounted: bool | None = None, most_states: int = 4, agents: int | None = None) -> Case:
    """Any of what games can be: agents, layouts, numbers, illegal actions, steps that differ, policies of steps."""
    rng = Random(seed)
    by_agents: dict[int, list[tuple[int, ...]]] = {1: [(2,), (3,)], 2: [(2, 2), (3, 2), (1, 3)], 3: [(2, 2, 2)]}
    actions = rng.choice(by_agents[agents or rng.choice([1, 2, 2, 3])])
    endless = rng.random() < 0.4 if discounted is None else discounted
    options: dict[str, Any] = {
        "layout": rng.choice(["dense", "sparse", "deterministic", "mixed"]),
        "numbers": rng.choice(["eighths", "fractions", "doubles"]),
        "illegal": rng.random() < 0.4,
    }
    states = rng.randint(1, most_states)
    if endless:
        discounts: list[Number] = [0, 0.5, 0.9, Fraction(1, 3)]
        discount = rng.choice(discounts)
        return exact_games.random_case(
            seed, states, actions, discount=discount, policy_steps=rng.choice([1, 1, 2]), **options
        )
    horizon = rng.randint(1, 4 if states < 4 else 3)
    steps = rng.choice([1, horizon])
    varying = rng.random() < 0.5
    return exact_games.random_case(
        seed, states, actions, horizon=horizon, varying=varying, policy_steps=steps, **options
    )


def other_policy(case: Case, seed: int, *, steps: int | None = None) -> tuple[mo.CorrelatedPolicy, Policy]:
    """Another policy for the game of a case, in eighths."""
    rng, game = Random(seed), case.exact_game
    joints = list(game.joint_actions)
    rows = []
    for _ in range(len(case.policy) if steps is None else steps):
        table = []
        for s in game.states:
            legal = [k for k, a in enumerate(joints) if all(b in game.legal[i][s] for i, b in enumerate(a))]
            chosen = [k for k in legal if rng.random() < 0.5] or [rng.choice(legal)]
            row = [0.0] * len(joints)
            for k in rng.choices(chosen, k=8):
                row[k] += 1 / 8
            table.append(row)
        rows.append(table)
    array = np.array(rows)
    policy = mo.CorrelatedPolicy(array if len(rows) > 1 else array[0])
    return policy, exact_policy_of(policy)
