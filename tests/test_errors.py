"""The hierarchy of errors: one base, and leaves that say both what object and what is wrong with it."""

from __future__ import annotations

import pytest

import mailopt_solvers
from mailopt import errors

ERRORS = sorted(
    {
        kind
        for module in (errors, mailopt_solvers)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    },
    key=lambda kind: kind.__name__,
)


def test_errors_are_found() -> None:
    assert len(ERRORS) > 25


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: str(kind.__name__))
def test_every_error_has_the_base_and_says_what_it_means(kind: type[Exception]) -> None:
    assert issubclass(kind, errors.MailoptError)
    assert kind.__doc__
    assert str(kind("where and how")) == "where and how"


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: str(kind.__name__))
def test_every_error_is_exported(kind: type[Exception]) -> None:
    module = mailopt_solvers if kind.__module__.startswith("mailopt_solvers") else errors
    assert kind.__name__ in module.__all__


def test_errors_list_is_complete_and_sorted() -> None:
    assert sorted(errors.__all__) == errors.__all__
    assert all(hasattr(errors, name) for name in errors.__all__)


@pytest.mark.parametrize(
    ("owner", "prefix"),
    [
        pytest.param(errors.InvalidGame, "Game", id="game"),
        pytest.param(errors.InvalidPolicy, "Policy", id="policy"),
        pytest.param(errors.InvalidDeviation, "Deviation", id="deviation"),
    ],
)
@pytest.mark.parametrize(
    ("kind", "suffix"),
    [
        pytest.param(errors.WrongShape, "Shape", id="shape"),
        pytest.param(errors.InvalidNumber, "Number", id="number"),
        pytest.param(errors.NotADistribution, "Distribution", id="distribution"),
    ],
)
def test_leaves_are_of_their_object_and_of_their_kind(
    owner: type[Exception], prefix: str, kind: type[Exception], suffix: str
) -> None:
    leaf = getattr(errors, prefix + suffix)
    assert issubclass(leaf, owner)
    assert issubclass(leaf, kind)
    assert issubclass(leaf, ValueError)


@pytest.mark.parametrize("kind", [errors.MissingTransition, errors.InvalidHorizon])
def test_other_leaves_of_a_game(kind: type[Exception]) -> None:
    assert issubclass(kind, errors.InvalidGame)


def test_files_policies_and_games_are_told_apart() -> None:
    assert issubclass(errors.IllegalAction, errors.InvalidPolicy)
    assert issubclass(errors.MalformedFile, errors.InvalidFile)
    assert issubclass(errors.UnsupportedVersion, errors.InvalidFile)
    assert not issubclass(errors.InvalidFile, errors.InvalidGame | errors.InvalidPolicy)


def test_a_solver_that_fails_is_no_infeasible_unbounded_or_late_program() -> None:
    kinds = (
        mailopt_solvers.SolverFailed,
        mailopt_solvers.Infeasible,
        mailopt_solvers.Unbounded,
        mailopt_solvers.TimeLimit,
    )
    for kind in kinds:
        assert issubclass(kind, mailopt_solvers.SolverError)
        assert [other for other in kinds if issubclass(kind, other)] == [kind]


@pytest.mark.parametrize("kind", [errors.SolverNotInstalled, errors.MissingDependency])
def test_what_is_not_installed_is_an_import_error(kind: type[Exception]) -> None:
    assert issubclass(kind, ImportError)
