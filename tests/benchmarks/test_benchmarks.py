"""The benchmarks run; what they measure is read by people, not asserted."""

from __future__ import annotations

import pytest

from tests.benchmarks import certificates, equilibria, evaluation, lp_layer


def test_lp_layer(capsys: pytest.CaptureFixture[str]) -> None:
    lp_layer.main(["--quick"])
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("solve_batch", "cvxpy", "dense discounted"))


def test_evaluation(capsys: pytest.CaptureFixture[str]) -> None:
    evaluation.main(["--quick"])
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("enclosures", "concentrability", "budget"))


def test_equilibria(capsys: pytest.CaptureFixture[str]) -> None:
    equilibria.main(["--quick"])
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("backward induction", "External", "repair"))


def test_certificates(capsys: pytest.CaptureFixture[str]) -> None:
    certificates.main(["--quick"])
    assert capsys.readouterr().out.count("gap") == 2
