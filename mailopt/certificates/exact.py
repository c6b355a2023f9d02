"""Value functions in fractions, by the checker's own backups: they prove intervals of width zero.

A finite horizon takes one backward recursion. In a discounted game the last stage repeats for ever: policy iteration,
with one exact linear system (python-flint) for each rule of play that is tried.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from mailopt.certificates import checker
from mailopt.certificates.witnesses import Part, Witness
from mailopt_solvers.exact.kernel import solve_square

Layers = list[list[Fraction]]  # layer, state


class ExactWitnesses:
    """Computes the witnesses of one policy.

    Parameters
    ----------
    game, policy
        As the checker reads them.
    phi
        The class of deviations.
    """

    def __init__(self, game: checker.Game, policy: checker.Policy, phi: checker.Phi) -> None:
        self._game, self._policy, self._phi = game, policy, phi
        self._stages = self._game.horizon or max(len(self._policy.steps), phi.steps)

    def of(self, agent: int) -> Witness:
        """Compute the witness of one agent."""
        game, phi = self._game, self._phi
        obey = self._values(self._task(agent, checker.obeying(game, agent)))[0]
        if phi.kind == "finite":
            listed = [options for owner, options in phi.listed if owner == agent]
            return Witness(obey, [self._values(self._task(agent, options))[0] for options in listed])
        free = self._task(agent, checker.deviating(game, agent, phi), phi.layers)
        return self._budget(free, obey) if phi.kind == "budget" else Witness(obey, list(self._values(free)))

    def _task(self, agent: int, options: checker.Options, layers: int = 1) -> checker.Task:
        return checker.Task(self._policy, agent, options, [[]] * layers)

    def _values(self, task: checker.Task) -> list[list[list[Fraction]]]:
        """Values of a rule of play: by layer, stage and state."""
        backwards: list[Layers] = []
        for stage in reversed(range(self._stages)):
            if not backwards and self._game.horizon is None:
                backwards.append(self._for_ever(task, stage))
            else:
                backwards.append(self._backed(task, stage, backwards[-1] if backwards else None))
        return [[values[layer] for values in reversed(backwards)] for layer in range(len(task.tables))]

    def _backed(self, task: checker.Task, stage: int, after: Layers | None) -> Layers:
        """Back up the values of what follows, None for nothing."""
        look = _Ahead(self._game, task, stage, after or [])
        places = [None if after is None else layer for layer in range(len(task.tables))]
        return [
            [look.backed(state, layer, places) for state in range(self._game.states)] for layer in range(len(places))
        ]

    def _for_ever(self, task: checker.Task, stage: int) -> Layers:
        """Values of a stage that repeats for ever: policy iteration."""
        values: Layers = [[Fraction(0)] * self._game.states for _ in task.tables]
        while (backed := self._backed(task, stage, values)) != values:
            values = self._solved(task._replace(options=self._decided(task, stage, values)), stage)
        return backed

    def _solved(self, task: checker.Task, stage: int) -> Layers:
        """Values of a fixed rule that repeats for ever: V = T V is linear, layer after layer."""
        states = range(self._game.states)
        nothing, units = [Fraction(0)] * len(states), [[Fraction(int(s == t)) for s in states] for t in states]
        values: Layers = []
        for layer in range(len(task.tables)):
            look = _Ahead(self._game, task, stage, [nothing, *units, *values[-1:]])
            below: list[int | None] = [None] * max(layer - 1, 0) + [1 + len(states)] * min(layer, 1)
            constant = [look.backed(s, layer, [*below, 0]) for s in states]
            rows = [
                [(t, int(s == t) - look.backed(s, layer, [*below, 1 + t]) + constant[s]) for t in states]
                for s in states
            ]
            values.append(solve_square(rows, constant))
        return values

    def _decided(self, task: checker.Task, stage: int, after: Layers | None) -> checker.Options:
        """Return the best that can be played at a stage as a fixed rule; ties go to obedience."""
        look = _Ahead(self._game, task, stage, after or [])
        places = [None if after is None else layer for layer in range(len(task.tables))]
        found: dict[tuple[int, int], tuple[list[checker.Groups], int]] = {}
        for state in range(self._game.states):
            for layer in range(len(places)):
                alternatives, common = task.options(stage, state, layer)

                def worth(pairs: list[checker.Pair], at: tuple[int, int, int] = (state, layer, common)) -> Any:
                    return look.backed(at[0], at[1], places, ([[[pairs]]], at[2]))

                def rank(pairs: list[checker.Pair]) -> tuple[Any, bool]:
                    return worth(pairs), all(a == b for a, b, _ in pairs)

                picked = [[pair for group in groups for pair in max(group, key=rank)] for groups in alternatives]
                found[state, layer] = [[[max(picked, key=rank)]]], common
        return lambda stage, state, layer: found[state, layer]

    def _budget(self, free: checker.Task, obey: list[list[Fraction]]) -> Witness:
        """Walk the frontier of value against expected departures to the edge that the budget is on."""
        left = _Point(Fraction(0), self._start(obey), Part([], obey, None))
        price, charged = Fraction(0), self._values(free)[0]
        right = self._followed(free, charged)
        while right.cost > self._phi.kappa:
            price = (right.value - left.value) / (right.cost - left.cost)
            tolled = free._replace(toll=price)
            charged = self._values(tolled)[0]
            if self._start(charged) == left.value - price * left.cost:
                break
            found = self._followed(tolled, charged)
            left, right = (found, right) if found.cost <= self._phi.kappa else (left, found)
        parts = [Part([], obey, None), *(point.part for point in (left, right) if point.part.departures)]
        return Witness(obey, [charged], price, parts)

    def _followed(self, task: checker.Task, charged: list[list[Fraction]]) -> _Point:
        """Evaluate the deviation that is best according to values."""
        departures = []
        for stage in range(self._stages):
            follows = (
                None
                if stage + 1 == self._stages and self._game.horizon
                else [charged[min(stage + 1, self._stages - 1)]]
            )
            decided = self._decided(task, stage, follows)
            for state in range(self._game.states):
                pairs = decided(stage, state, 0)[0][0][0][0]
                departures += [[stage, state, a, b] for a, b, _ in pairs if a != b]
        played = checker.playing(self._game, task.agent, {(h, s, a): b for h, s, a, b in departures})
        value = self._values(self._task(task.agent, played))[0]
        cost = self._values(self._task(task.agent, played)._replace(toll=-1, paid=False))[0]
        return _Point(self._start(cost), self._start(value), Part(departures, value, cost))

    def _start(self, values: list[list[Fraction]]) -> Fraction:
        initial = self._game.initial
        return (
            sum((w * values[0][s] for s, w in zip(initial.places, initial.weights, strict=True)), Fraction(0))
            / initial.total
        )


@dataclass(frozen=True)
class _Point:
    """A deviation: its expected number of departures, its value, and where it disobeys."""

    cost: Fraction
    value: Fraction
    part: Part


class _Ahead:
    """A stage with columns of values of what may follow it."""

    def __init__(
        self, game: checker.Game, task: checker.Task, stage: int, columns: Sequence[Sequence[Fraction]]
    ) -> None:
        self._game, self._stage = game, stage
        self._unit = math.lcm(*(value.denominator for column in columns for value in column))
        self._task = task._replace(toll=task.toll * self._unit)
        values = [[int(value * self._unit) for value in column] for column in columns]
        rewards = checker.at_stage(game.rewards, stage) if task.paid else {}
        self._paid = {place: [Fraction(r) * self._unit for r in given] for place, given in rewards.items()}
        kernel = game.kernels[stage if len(game.kernels) > 1 else 0]
        self._expected = list(checker.expectations(game, kernel, values, Fraction))

    def backed(
        self,
        state: int,
        layer: int,
        places: Sequence[int | None],
        options: tuple[list[checker.Groups], int] | None = None,
    ) -> Fraction:
        """Back up at a state, where each layer has a column, None for nothing; of the task's options, or of these."""
        task = self._task if options is None else self._task._replace(options=lambda *_: options)
        given = self._expected[state], places, self._paid, Fraction
        return Fraction(checker.backup(self._game, task, self._stage, layer, state, *given)) / self._unit
