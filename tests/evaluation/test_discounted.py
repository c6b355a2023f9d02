"""The stated error of discounted evaluation, made visible by solvers that hardly solve."""

from __future__ import annotations

import numpy as np
import pytest

import mailopt as mo
from mailopt.evaluation import discounted
from tests.random_games import Case, random_case

CASES = [case for case in map(random_case, range(0, 300, 2)) if (case.game.discount or 0) > 0.5]


def lazy(matrix: object, right: np.ndarray, discount: float) -> np.ndarray:
    return np.zeros_like(right)


@pytest.mark.parametrize("case", CASES[:40], ids=lambda case: repr(case.game.actions))
def test_the_truth_is_within_the_stated_error(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    values = mo.values(case.game, case.policy)
    best = mo.best_deviation(case.game, case.policy, 0)
    with monkeypatch.context() as patched:
        patched.setattr(discounted, "_solve", lazy)
        patched.setattr(discounted, "_ACCEPTED", np.inf)
        rough = mo.values(case.game, case.policy)
        rough_best = mo.best_deviation(case.game, case.policy, 0)
    rounding = 1e-11 * case.scale
    assert (np.maximum(rough.lower, values.lower) <= np.minimum(rough.upper, values.upper)).all()
    assert max(rough_best.gain_lower, best.gain_lower) <= min(rough_best.gain_upper, best.gain_upper)
    assert (values.upper - values.lower).max() <= rounding


def test_lazy_solvers_leave_an_error_to_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discounted, "_solve", lazy)
    monkeypatch.setattr(discounted, "_ACCEPTED", np.inf)
    found = [mo.values(case.game, case.policy) for case in CASES]
    wide = [(f.upper - f.lower).max() > 1e-11 * case.scale for f, case in zip(found, CASES, strict=True)]
    assert np.count_nonzero(wide) > len(wide) / 4


def test_what_does_not_converge_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """States that never mix: the span of T V - V shrinks by no more than the discount."""
    stay = np.repeat(np.arange(4)[:, None], 4, axis=1)
    rewards = np.random.default_rng(0).normal(size=(2, 4, 4))
    game = mo.MarkovGame(stay, rewards, np.ones(4) / 4, (2, 2), discount=0.99)
    policy = mo.CorrelatedPolicy.uniform(game)
    monkeypatch.setattr(discounted, "_solve", lazy)
    with pytest.raises(mo.errors.NotConverged, match=r"discount 0\.99"):
        mo.values(game, policy)
    with pytest.raises(mo.errors.NotConverged, match="visits"):
        mo.occupancy(game, policy)
