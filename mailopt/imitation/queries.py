"""Asking an expert: whoever answers, each answer is checked, kept, and never paid for twice."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from mailopt.errors import ExpertFailed, IllegalAction, InvalidOption, MailoptError, MalformedFile
from mailopt.games import storage
from mailopt.games.files import naming
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import (
    POLICY,
    ROW_SUM_TOLERANCE,
    FloatArray,
    read_array,
    read_numbers,
    require_probabilities,
    require_row_sums,
)
from mailopt.games.policy import CorrelatedPolicy, check_policy
from mailopt.imitation.results import Answer

_FORMAT, _VERSION = "mailopt.answers", 1
_MANY = 1000  # answers from which on they are saved at most once in so many seconds:
_EVERY = 1.0


@runtime_checkable
class Expert(Protocol):
    """Anybody who can be asked what to recommend: a person, a network, a policy."""

    def query(self, step: int, state: int) -> Any:
        """Return probabilities of the joint actions at a step and state, flat (A,) or shaped (n_0, .., n_{m-1})."""


class Answers:
    """Answers of an expert, each asked for once.

    Parameters
    ----------
    game
        For shapes and legal actions.
    expert
        A :class:`CorrelatedPolicy` or an :class:`Expert`.
    stages
        Number of stages of the expert.
    stationary
        Whether an answer holds at all steps.
    path
        File in which answers are kept; those in it are not asked for again.
    """

    def __init__(
        self,
        game: MarkovGame,
        expert: CorrelatedPolicy | Expert,
        *,
        stages: int,
        stationary: bool,
        path: str | Path | None,
    ) -> None:
        if isinstance(expert, CorrelatedPolicy):
            check_policy(game, expert)
            if stationary and not all((expert.at(h) == expert.at(0)).all() for h in range(expert.num_steps or 1)):
                raise InvalidOption("stationary is True, but the expert's rows differ between steps; leave it out")
        elif not isinstance(expert, Expert) or isinstance(expert, type):
            raise InvalidOption(
                f"the expert is {expert!r:.80}; give a CorrelatedPolicy or an object with a method query(step, state)"
            )
        if path is not None and not isinstance(path, str | Path):
            raise InvalidOption(f"answers is {path!r}; give the path of a .json file")
        self.game, self.expert, self.stationary, self.stages = game, expert, stationary, stages
        self.path = None if path is None else Path(path)
        self.used: dict[tuple[int | None, int], FloatArray] = {}
        self._kept: dict[tuple[int | None, int], FloatArray] = {}
        self._saved, self._changed = time.monotonic(), False
        if self.path is not None:
            if self.path.suffix != ".json":
                raise InvalidOption(f"answers is {str(path)!r}; answers are kept in a .json file")
            if self.path.exists():
                self._kept = self._read(self.path)
            else:  # better now than after the first question
                self._changed = True
                self.save()

    def ask(self, step: int, state: int) -> FloatArray:
        """Return the expert's row (A,) at a step and state.

        Raises
        ------
        ExpertFailed
            The expert raised an error. Answers so far are kept.
        PolicyShape, PolicyNumber, PolicyDistribution, IllegalAction
            The answer is no distribution over legal joint actions; it is not kept, those before it are.
        """
        place = (None if self.stationary else step, state)
        row = self._kept.get(place)
        if row is None:
            try:
                row = self._answer(step, state)
            except BaseException:
                self.save()
                raise
            self._kept[place] = row
            self._changed = True
            if len(self._kept) <= _MANY or time.monotonic() - self._saved > _EVERY:
                self.save()
        self.used[place] = row
        return row

    def save(self) -> None:
        """Write all answers to the file, whole or not at all."""
        self._saved = time.monotonic()
        if self.path is None or not self._changed:
            return
        fields: dict[str, object] = {
            "states": self.game.num_states,
            "actions": list(self.game.actions),
            "stationary": self.stationary,
            "answers": [[step, state, row.tolist()] for (step, state), row in self._kept.items()],
        }
        storage.write_json(self.path, _FORMAT, _VERSION, fields)
        self._changed = False

    def listed(self) -> tuple[Answer, ...]:
        """Return the answers that were needed, in order."""
        return tuple(Answer(step, state, tuple(row.tolist())) for (step, state), row in self.used.items())

    def _answer(self, step: int, state: int) -> FloatArray:
        if isinstance(self.expert, CorrelatedPolicy):
            return np.asarray(self.expert.at(step)[state])
        try:
            given = self.expert.query(step, state)
        except MailoptError:
            raise
        except Exception as error:
            raise ExpertFailed(f"the expert failed at step {step}, state {state}: {error!r}") from error
        return self._checked(given, state, f"the expert's answer at step {step}, state {state}")

    def _checked(self, given: Any, state: int, where: str) -> FloatArray:
        """Require a distribution over the legal joint actions of a state."""
        axes = ("joint action",)
        array = read_array(given, POLICY, where)
        if array.shape not in ((self.game.num_joint_actions,), self.game.actions):
            raise POLICY.shape(
                f"{where} has shape {array.shape}, expected ({self.game.num_joint_actions},) or {self.game.actions}"
            )
        row, _ = read_numbers(array.reshape(-1), POLICY, where, axes)
        require_probabilities(row, POLICY, where, axes)
        require_row_sums(np.asarray(row.sum()), POLICY, where, ())
        bad = np.flatnonzero((row > 0) & ~self.game.joint_legal[state])
        if bad.size:
            raise IllegalAction(
                f"{where}: joint action {self.game.joint_action(int(bad[0]))} is illegal in that state but has "
                f"probability {row[bad[0]]}"
            )
        return np.asarray(row / row.sum())

    def _read(self, path: Path) -> dict[tuple[int | None, int], FloatArray]:
        with naming(path):
            fields = storage.read_json(path, _FORMAT, _VERSION)
            return self._parsed(fields, path)

    def _parsed(self, fields: storage.JsonFields, path: Path) -> dict[tuple[int | None, int], FloatArray]:
        shape = (fields.take("states", storage.positive), fields.take("actions", storage.items))
        stationary = fields.take("stationary", lambda value, _: value)
        entries = fields.take("answers", storage.items)
        fields.finish()
        if shape != (self.game.num_states, list(self.game.actions)) or stationary is not self.stationary:
            raise MalformedFile(
                f"{path} has answers for {shape[0]} states, actions {shape[1]} and stationary={stationary}; this is "
                f"{self.game!r} with stationary={self.stationary}"
            )
        found: dict[tuple[int | None, int], FloatArray] = {}
        for k, entry in enumerate(entries):
            where = f"{path}, answer {k}"
            if len(storage.items(entry, where)) != 3:
                raise MalformedFile(f"{where}: expected [step, state, probabilities]")
            step, state, row = entry
            good = (step is None) if self.stationary else type(step) is int and 0 <= step < self.stages
            if not good or type(state) is not int or not 0 <= state < self.game.num_states or (step, state) in found:
                raise MalformedFile(f"{where}: {step!r}, {state!r} is no step and state, or is there twice")
            numbers = [storage.number(p, where) for p in storage.items(row, where)]
            found[step, state] = self._checked(numbers, state, where)
            if isinstance(self.expert, CorrelatedPolicy):
                apart = np.abs(found[step, state] - self.expert.at(step or 0)[state]).max()
                if apart > ROW_SUM_TOLERANCE:
                    raise MalformedFile(
                        f"{where}: at step {step}, state {state} it differs by {apart:.2g} from what this expert says; "
                        f"a file of answers belongs to one expert. Give another path"
                    )
        return found
