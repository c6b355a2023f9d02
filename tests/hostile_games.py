"""Random games that are hard on floating point, as plain numbers for the library and the oracle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import product
from random import Random
from typing import Literal, get_args

import numpy as np

from tests.exact_games import Case, random_case
from tests.oracle import Number

Hazard = Literal["plain", "illegal", "rows", "spread", "offset", "tiny", "subnormal", "huge", "integers"]
HAZARDS: tuple[Hazard, ...] = get_args(Hazard)
ACTIONS: list[tuple[int, ...]] = [(2,), (3,), (2, 2), (2, 3), (1, 3), (2, 2, 2), (3, 1, 2)]
DISCOUNTS: list[Number] = [0, 0.5, 0.99, Fraction(1, 2), Fraction(9, 10)]
REWARDS: dict[Hazard, Callable[[Random], Number]] = {
    "spread": lambda rng: rng.choice((-1, 1)) * 10 ** rng.uniform(-8, 8),
    "offset": lambda rng: 1e6 + rng.choice((-1, 1, rng.random())),
    "subnormal": lambda rng: rng.randint(-9, 9) * rng.choice((5e-324, 1e-310, 2.3e-308)),
    "huge": lambda rng: rng.uniform(-1e300, 1e300),
    "integers": lambda rng: rng.choice((2**53 + 1, -(2**60) - 3, 2**62 - 7)),
}


def hostile_case(seed: int, hazard: Hazard) -> Case:
    """Draw a game of any shape, with one of the hazards."""
    rng = Random(seed)
    discount = rng.choice(DISCOUNTS) if rng.random() < 0.5 else None
    horizon = rng.randint(1, 3) if discount is None else None
    case = random_case(
        seed,
        rng.randint(1, 2 if hazard == "tiny" else 3),  # long fractions take time
        rng.choice(ACTIONS),
        horizon=horizon,
        discount=discount,
        layout=rng.choice(("dense", "sparse", "deterministic", "mixed")),
        numbers=rng.choice(("eighths", "fractions", "doubles")),
        varying=rng.random() < 0.4,
        illegal=hazard == "illegal" or rng.random() < 0.4,
        policy_steps=rng.choice((1, horizon or 2)),
    )
    if hazard in REWARDS:
        return with_rewards(case, lambda given, ok: REWARDS[hazard](rng) if ok else given)
    if hazard == "illegal":
        return with_rewards(case, lambda given, ok: given if ok else rng.choice((1e300, -1e300, 1.7e308)))
    if hazard == "rows":
        return with_rows(case, lambda row, _: [float(p) * (1 + rng.uniform(-9.9e-10, 9.9e-10)) for p in row])
    return with_rows(case, lambda row, ok: with_tiny(rng, row, ok)) if hazard == "tiny" else case


def with_tiny(rng: Random, row: list[Number], allowed: list[bool]) -> list[Number]:
    """Put probabilities in place of zeros that are too small to change a sum of doubles."""
    sizes = (5e-324, 3e-308, 1e-300, 1e-17)
    return [
        rng.choice(sizes) if ok and p == 0 and rng.random() < 0.3 else p for p, ok in zip(row, allowed, strict=True)
    ]


def legal_joints(case: Case, state: int) -> list[bool]:
    parts = product(*(range(n) for n in case.actions))
    return [all(case.legal[i][state][b] for i, b in enumerate(joint)) for joint in parts]


def with_rewards(case: Case, change: Callable[[Number, bool], Number]) -> Case:
    """Change every reward, given it and whether the joint action is legal."""

    def changed(rows: list[list[Number]]) -> list[list[Number]]:
        return [[change(r, ok) for r, ok in zip(row, legal_joints(case, s), strict=True)] for s, row in enumerate(rows)]

    return replace(case, rewards=[[changed(rows) for rows in step] for step in case.rewards])


def with_rows(case: Case, change: Callable[[list[Number], list[bool]], list[Number]]) -> Case:
    """Change the distributions, given them and what may happen; deterministic kernels and empty rows stay."""
    anywhere = [True] * case.num_states

    def changed(kernel: list[list[list[Number]]]) -> list[list[list[Number]]]:
        return [[change(row, anywhere) if any(row) else row for row in rows] for rows in kernel]

    return replace(
        case,
        transitions=[
            kernel if layout == "deterministic" else changed(kernel)
            for layout, kernel in zip(case.layouts, case.transitions, strict=True)
        ],
        initial=change(case.initial, anywhere),
        policy=[[change(row, legal_joints(case, s)) for s, row in enumerate(rows)] for rows in case.policy],
    )


def scale(case: Case) -> float:
    """Largest reward of a legal joint action, times the horizon or 1 / (1 - gamma)."""
    legal = with_rewards(case, lambda r, ok: abs(float(r)) * ok).rewards
    return float(np.max(np.array(legal, dtype=float))) * float(case.horizon or 1 / (1 - Fraction(case.discount or 0)))
