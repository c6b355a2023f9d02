"""What MAIL-BRO and MURMAIL share: two strategies that follow an expert whose answers are sampled actions.

Each round asks the expert of agent i for an action A at one place (step, state), drawn from where an opponent leads
agent i's strategy mu. With d the distribution of that place, mu(.|s) - 1{A = .} at the place, 0 elsewhere, is an
unbiased estimate of d(s) (mu - mu_E)(.|s), the gradient of 1/2 E over s ~ d of |mu(.|s) - mu_E(.|s)|^2 with d held
fixed; the row of the place is multiplied by exp(-eta times it). Places are numbered h S + s.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mailopt.deviations import External
from mailopt.equilibria.zero_sum import require_zero_sum
from mailopt.errors import InvalidOption, InvalidPolicy
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import BoolArray, FloatArray, IntArray
from mailopt.games.policy import CorrelatedPolicy, check_policy
from mailopt.games.sampling import RowSampler, random_generator, read_count
from mailopt.imitation.dynamics import Assessment, Known
from mailopt.imitation.results import Imitation, Round
from mailopt.imitation.scores import Scorer
from mailopt.imitation.target import Target
from mailopt.progress import shown

OUTPUTS = ("drawn", "average")
_PRODUCT = 1e-9  # an expert whose rows are further from a product is none
_ROUNDS_SHOWN = 20  # in the history, about


class Strategy:
    """One agent's strategy, learned from sampled answers.

    Attributes
    ----------
    agent
        Whose.
    rows
        mu(a|s) at each place, (T S, n).
    expert
        The expert's, of the same shape.
    allowed
        Which actions are legal, of the same shape.
    """

    def __init__(self, agent: int, expert: FloatArray, legal: BoolArray) -> None:
        self.agent, self.expert = agent, expert
        self.allowed = np.tile(legal, (len(expert) // len(legal), 1))
        self.rows: FloatArray = self.allowed / self.allowed.sum(axis=1, keepdims=True)
        self._logarithms = np.where(self.allowed, 0.0, -np.inf)
        self._answers = RowSampler.dense(expert)

    def ask(self, places: IntArray, rng: np.random.Generator) -> IntArray:
        """Draw the expert's actions at places, one answer for each, (N,) to (N,)."""
        return self._answers.draw(places, rng.random(len(places)))

    def step(self, place: int, action: int, step_size: float) -> None:
        """Take a step of exponentiated gradient, given an action of the expert at a place."""
        logarithms = self._logarithms[place] - step_size * gradient(self.rows[place], action)
        self._logarithms[place] = logarithms - logarithms.max()
        weights = np.exp(self._logarithms[place])
        self.rows[place] = weights / weights.sum()

    def distance(self) -> FloatArray:
        """|mu(.|s) - mu_E(.|s)|^2 at each place, (T S,)."""
        return np.asarray(((self.rows - self.expert) ** 2).sum(axis=1))


def gradient(row: FloatArray, action: int) -> FloatArray:
    """Estimate mu - mu_E at a place from one action of the expert: mu(.) - 1{A = .}, (n,)."""
    estimate = row.copy()
    estimate[action] -= 1.0
    return estimate


class Opponents(ABC):
    """Who decides where each agent asks.

    Attributes
    ----------
    queries
        Answers that it takes of the expert to find one opponent.
    """

    queries: int = 0

    @abstractmethod
    def visits(self, policy: CorrelatedPolicy, strategy: Strategy, rng: np.random.Generator) -> FloatArray:
        """Visits (T, S), up to a factor, of an agent's strategy against an opponent, given the product of both."""


@dataclass(frozen=True, eq=False)
class PeerOptions:
    """Options that both learners have, checked, with what is in force where nothing was asked for."""

    rounds: int
    step_size: float
    seed: int | np.random.Generator
    output: str
    every: int
    progress: bool

    @classmethod
    def read(
        cls,
        game: MarkovGame,
        stages: int,
        rounds: int,
        step_size: float | None,
        seed: int | np.random.Generator,
        output: str,
        every: int | None,
        progress: bool,
    ) -> PeerOptions:
        """Check options.

        Raises
        ------
        InvalidOption
            One of them does not make sense.
        """
        rounds = read_count(rounds, "rounds")
        if output not in OUTPUTS:
            raise InvalidOption(f"output is {output!r}; it must be 'drawn' or 'average'")
        if step_size is None:
            step_size = default_step_size(game, stages, rounds)
        elif not isinstance(step_size, int | float | np.number) or not 0 < step_size < np.inf:
            raise InvalidOption(f"step_size is {step_size!r}; give a positive number, or None for the default")
        every = -(-rounds // _ROUNDS_SHOWN) if every is None else read_count(every, "every")
        return cls(rounds, float(step_size), seed, output, every, progress)


def default_step_size(game: MarkovGame, stages: int, rounds: int) -> float:
    """Step size of the regret bound: sqrt(2 T S log n / K), n the most legal actions that an agent has in a state.

    Exponential weights on T S rows from a uniform start, one row a round and no entry of the gradient above 1, have
    sum_k <g_k, mu_k - mu_E> <= T S log(n) / eta + eta K / 2, which this eta makes smallest.
    """
    most = max(int(legal.sum(axis=1).max()) for legal in game.legal)
    return math.sqrt(2.0 * stages * game.num_states * math.log(most) / rounds)


def strategies_of(game: MarkovGame, expert: CorrelatedPolicy) -> tuple[Strategy, Strategy]:
    """Make the two strategies to be learned, of an expert that is a product of two.

    Raises
    ------
    InvalidGame, InvalidPolicy
        The game is not zero-sum with two agents; the expert does not fit it, or is no product.
    """
    check_policy(game, expert)
    require_zero_sum(game, "use malice or blades")
    stages = game.num_stages(expert.num_steps)
    joint = np.stack([expert.at(h) for h in range(stages)])
    first, second = (game.unfold(joint, agent).sum(axis=-1) for agent in range(2))
    apart = np.abs(joint - product_rows(first, second)).max(axis=-1)
    bad = np.argwhere(apart > _PRODUCT)
    if len(bad):
        step, state = (int(k) for k in bad[0])
        raise InvalidPolicy(
            f"the expert is no product of two strategies: at step {step}, state {state} it is "
            f"{apart[step, state]:.3g} from the product of its marginals. Give CorrelatedPolicy.product([x, y]), or "
            f"use malice or blades for a correlated expert"
        )
    rows = (part.reshape(stages * game.num_states, -1) for part in (first, second))
    one, other = (Strategy(i, part, game.legal[i]) for i, part in enumerate(rows))
    return one, other


def imitated(
    algorithm: str,
    game: MarkovGame,
    expert: CorrelatedPolicy,
    strategies: tuple[Strategy, Strategy],
    opponents: Opponents,
    chosen: PeerOptions,
    options: Mapping[str, object],
) -> Imitation:
    """Run the rounds: of each agent's strategy find the opponent, draw a place, ask, and take a step.

    Both places of a round are drawn before either strategy changes. The policy of round k comes from k times the
    answers of a round, so the last round asks for none.
    """
    rng = random_generator(chosen.seed)
    drawn = int(rng.integers(chosen.rounds))
    run = _Run(game, expert, strategies)
    totals = [np.zeros_like(strategy.rows) for strategy in strategies]
    policy = run.policy()
    with shown(chosen.progress, algorithm, chosen.rounds) as advance:
        for index in range(chosen.rounds):
            current = run.policy()
            if chosen.output == "average":
                totals = [total + strategy.rows for total, strategy in zip(totals, strategies, strict=True)]
                policy = run.policy(*(total / (index + 1) for total in totals))
            elif index == drawn:
                policy = current
            last = index == chosen.rounds - 1
            if index % chosen.every == 0 or last:
                queries = 2 * index * (opponents.queries + 1)
                run.score(index, current, "iterate", queries)
                if chosen.output == "average":
                    run.score(index, policy, "average", queries)
            if not last:
                places = [run.place(opponents.visits(current, strategy, rng), rng) for strategy in strategies]
                for place, strategy in zip(places, strategies, strict=True):
                    strategy.step(int(place[0]), int(strategy.ask(place, rng)[0]), chosen.step_size)
            advance(1)
    what = f"the policy of round {drawn} was drawn" if chosen.output == "drawn" else "their policies were averaged"
    return Imitation(
        algorithm=algorithm,
        policy=policy,
        loss=run.assess(policy).loss,
        completed=np.zeros((run.stages, game.num_states), dtype=bool),
        history=tuple(run.history),
        stopped=f"the limit of rounds; {what}",
        options=options,
        elapsed=run.scorer.elapsed,
    )


class _Run:
    """The two strategies as a policy, and its scores."""

    def __init__(self, game: MarkovGame, expert: CorrelatedPolicy, strategies: tuple[Strategy, Strategy]) -> None:
        self.game, self.strategies = game, strategies
        self.stages = len(strategies[0].rows) // game.num_states
        self.scorer = Scorer(game, expert, External())
        self.history: list[Round] = []
        self._dynamics = Known(game, External())
        rows = np.stack([expert.at(h) for h in range(self.stages)])
        self._target = Target(np.ones(rows.shape[:2], dtype=bool), rows)

    def policy(self, *rows: FloatArray) -> CorrelatedPolicy:
        """Product of two strategies, by default those of now."""
        joint = product_rows(*(rows or (strategy.rows for strategy in self.strategies)))
        per_step = self.game.horizon is not None or self.stages > 1
        return CorrelatedPolicy(joint.reshape(self.stages, self.game.num_states, -1) if per_step else joint)

    def place(self, visits: FloatArray, rng: np.random.Generator) -> IntArray:
        """Draw a place from visits (T, S), (1,); what rounding left of them below 0 counts as 0."""
        sampler = RowSampler.dense(np.maximum(visits, 0.0).reshape(1, -1))
        return sampler.draw(np.zeros(1, dtype=np.int64), rng.random(1))

    def assess(self, policy: CorrelatedPolicy) -> Assessment:
        """Find the exact deviation-weighted loss of a policy."""
        return self._dynamics.assess(policy, self._target.distance(policy), self._target.support)

    def score(self, index: int, policy: CorrelatedPolicy, kind: str, queries: int) -> None:
        """Put a policy into the history."""
        found = self.assess(policy)
        self.history.append(self.scorer.round(index, policy, found, kind=kind, queries=queries))


def product_rows(first: FloatArray, second: FloatArray) -> FloatArray:
    """Product of strategies (.., n_0) and (.., n_1), (.., A)."""
    outer = first[..., :, None] * second[..., None, :]
    return outer.reshape(*outer.shape[:-2], -1)
