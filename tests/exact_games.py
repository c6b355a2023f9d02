"""Random small games as plain numbers, handed alike to the library and to the oracle."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import product
from random import Random
from typing import Any, Literal

import numpy as np
from scipy import sparse

import mailopt as mo
from tests import oracle
from tests.oracle import Number

Layout = Literal["dense", "sparse", "deterministic"]
Numbers = Literal["eighths", "fractions", "doubles"]


@dataclass(frozen=True)
class Case:
    """A game and a policy, in the oracle's plain form; one entry over steps means "the same at every step"."""

    actions: tuple[int, ...]
    layouts: list[Layout]
    transitions: list[list[list[list[Number]]]]
    rewards: list[list[list[list[Number]]]]
    initial: list[Number]
    legal: list[list[list[bool]]]
    horizon: int | None
    discount: Number | None
    policy: list[list[list[Number]]]

    @property
    def num_states(self) -> int:
        return len(self.initial)

    @cached_property
    def game(self) -> mo.MarkovGame:
        kernels = [kernel_as(layout, rows) for layout, rows in zip(self.layouts, self.transitions, strict=True)]
        return mo.MarkovGame(
            kernels if len(kernels) > 1 else kernels[0],
            numeric(self.rewards if len(self.rewards) > 1 else self.rewards[0]),
            numeric(self.initial),
            self.actions,
            horizon=self.horizon,
            discount=self.discount,
            legal=[np.array(rows) for rows in self.legal],
        )

    @cached_property
    def sigma(self) -> mo.CorrelatedPolicy:
        return mo.CorrelatedPolicy(numeric(self.policy if len(self.policy) > 1 else self.policy[0]))

    @cached_property
    def exact_game(self) -> oracle.ExactGame:
        return oracle.exact_game(
            self.transitions,
            self.rewards,
            self.initial,
            self.actions,
            horizon=self.horizon,
            discount=self.discount,
            legal=self.legal,
        )

    @cached_property
    def exact_sigma(self) -> oracle.Policy:
        return oracle.exact_policy(self.policy)


def numeric(nested: Any) -> Any:
    """Array of doubles, or of objects if there are fractions in it."""
    array = np.array(nested, dtype=object)
    return array if any(isinstance(x, Fraction) for x in array.flat) else array.astype(float)


def kernel_as(layout: Layout, rows: list[list[list[Number]]]) -> Any:
    """Give the same kernel to the library in one of its layouts."""
    array = numeric(rows)
    if layout == "dense":
        return array
    if layout == "sparse":
        return sparse.csr_array(array.astype(float).reshape(-1, array.shape[-1]))
    return np.where(array.any(axis=-1), array.argmax(axis=-1), -1)


def random_case(
    seed: int,
    num_states: int,
    actions: tuple[int, ...],
    *,
    horizon: int | None = None,
    discount: Number | None = None,
    layout: Layout | Literal["mixed"] = "dense",
    numbers: Numbers = "eighths",
    varying: bool = False,
    illegal: bool = False,
    policy_steps: int = 1,
) -> Case:
    """Draw a case.

    ``varying``: the kernel and the rewards differ between steps. ``illegal``: some actions are illegal, and joint
    actions that contain one pay far more than any other and lead nowhere or anywhere. ``policy_steps``: steps of
    the policy. About half of all recommendations have probability zero.
    """
    rng = Random(seed)
    steps = horizon if varying and horizon is not None else 1
    layouts: list[Layout] = [
        rng.choice(("dense", "sparse", "deterministic")) if layout == "mixed" else layout for _ in range(steps)
    ]
    legal = [[_legal_row(rng, n, illegal) for _ in range(num_states)] for n in actions]
    joints = list(product(*(range(n) for n in actions)))
    allowed = [
        [j for j, parts in enumerate(joints) if all(legal[i][s][b] for i, b in enumerate(parts))]
        for s in range(num_states)
    ]

    def reward(state: int, joint: int) -> Number:
        return _reward(rng, numbers) if joint in allowed[state] else 1000

    def successors(kind: Layout, state: int, joint: int) -> list[Number]:
        if joint not in allowed[state] and rng.random() < 0.5:
            return [0] * num_states
        row = _distribution(rng, list(range(num_states)), num_states, numbers, pure=kind == "deterministic")
        # scipy's sparse matrices hold doubles only
        return [float(p) for p in row] if kind == "sparse" else row

    return Case(
        actions,
        layouts,
        [[[successors(kind, s, j) for j in range(len(joints))] for s in range(num_states)] for kind in layouts],
        [
            [[[reward(s, j) for j in range(len(joints))] for s in range(num_states)] for _ in actions]
            for _ in range(steps)
        ],
        _distribution(rng, list(range(num_states)), num_states, numbers),
        legal,
        horizon,
        discount,
        [
            [_distribution(rng, allowed[s], len(joints), numbers) for s in range(num_states)]
            for _ in range(policy_steps)
        ],
    )


def _legal_row(rng: Random, n: int, illegal: bool) -> list[bool]:
    row = [not illegal or rng.random() < 0.6 for _ in range(n)]
    row[rng.randrange(n)] = True
    return row


def _reward(rng: Random, numbers: Numbers) -> Number:
    if numbers == "eighths":
        return rng.randint(-16, 16) / 4
    return Fraction(rng.randint(-9, 9), 3) if numbers == "fractions" else rng.uniform(-3, 3)


def _distribution(
    rng: Random, support: list[int], length: int, numbers: Numbers, *, pure: bool = False
) -> list[Number]:
    row: list[Number] = [0] * length
    chosen = [k for k in support if rng.random() < 0.5] or [rng.choice(support)]
    if pure or len(chosen) == 1:
        row[chosen[0]] = 1
    elif numbers == "eighths":
        for k in rng.choices(chosen, k=8):
            row[k] += 1 / 8
    else:
        weights = [rng.randint(1, 4) for _ in chosen]
        if numbers == "doubles":
            draws = [rng.random() + 0.01 for _ in chosen]
            for k, w in zip(chosen, draws, strict=True):
                row[k] = w / sum(draws)
        else:
            for k, v in zip(chosen, weights, strict=True):
                row[k] = Fraction(v, sum(weights))
    return row
