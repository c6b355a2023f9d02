"""Learned policies, from any model that turns an array of observations into numbers for actions.

:func:`tabulate` asks a model about every state and makes a correlated policy of the answers, or says in which state
they are no distribution over legal actions. :func:`from_torch`, :func:`from_sklearn`, :func:`from_stable_baselines3`
and :func:`from_onnx` turn the models of these frameworks into what it asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from mailopt.errors import (
    IllegalAction,
    InvalidOption,
    InvalidPolicy,
    MailoptError,
    PolicyDistribution,
    PolicyNumber,
    PolicyShape,
)
from mailopt.games.game import MarkovGame, check_game
from mailopt.games.numbers import ROW_SUM_TOLERANCE, SINGLE_ROW_SUM_TOLERANCE, BoolArray, FloatArray, IntArray
from mailopt.games.policy import CorrelatedPolicy
from mailopt.games.sampling import read_count
from mailopt.interop.learned_models import from_onnx, from_sklearn, from_stable_baselines3, from_torch

__all__ = ["from_onnx", "from_sklearn", "from_stable_baselines3", "from_torch", "tabulate"]

Model: TypeAlias = Callable[[npt.NDArray[Any]], Any]
_TOLERANCES = {2: 1e-2, 4: SINGLE_ROW_SUM_TOLERANCE}  # what sums may be off, by bytes of a number


def tabulate(
    game: MarkovGame,
    model: Model | Sequence[Model],
    features: Any,
    *,
    outputs: Literal["probabilities", "logits"] = "probabilities",
    illegal: Literal["error", "mask"] = "error",
    stationary: bool = True,
    batch_size: int = 4096,
) -> CorrelatedPolicy:
    """Ask a model about every state, and make a policy of the answers.

    A state where nobody has a choice is not asked about, so that its features may be anything, NaN too; an agent with
    one legal action plays it.

    Parameters
    ----------
    game
        The game.
    model
        A function of a batch of features (B, ..) that returns, as an array of numbers:

        - one distribution over joint actions for each, (B, A) or (B, n_0, .., n_{m-1}); or
        - a tuple (not a list) of m arrays (B, n_i), for agents who act independently.

        Or a list of m functions, one for each agent, that return (B, n_i).
    features
        What the model reads in each state, (S, ..). For a list of functions also a list of m such arrays, one for each
        agent.
    outputs
        ``"logits"``: sigma(a|s) is exp(x_a) / sum_b exp(x_b), computed in double precision; minus infinity is
        probability 0.
    illegal
        ``"error"``: probability on an illegal action is an error. ``"mask"``: the distribution is conditioned on the
        legal actions (of logits, the sum is over these), as models do that are trained with action masks.
    stationary
        False: features are (H, S, ..), and so is the policy.
    batch_size
        Most states in one call.

    Raises
    ------
    InvalidPolicy
        The model fails, or is no function.
    PolicyShape, PolicyNumber, PolicyDistribution, IllegalAction
        All of them :class:`~mailopt.errors.InvalidPolicy`; the message names step, state and agent: an answer of
        another shape; numbers that are negative or not finite; a sum that is off by more than 1e-9 (single precision:
        1e-5, half: 1e-2); probability on an illegal action, or, with a mask, on no legal one. A row p of single
        precision stands for p / sum(p), as all rows do.
    InvalidGame, InvalidOption
        The game or an option is no such thing.

    Examples
    --------
    >>> import numpy as np
    >>> import mailopt as mo
    >>> from mailopt.interop.learned import tabulate
    >>> chicken = mo.scenarios.chicken()
    >>> tabulate(chicken, lambda x: x @ [[0.0, 1.0, 1.0, -np.inf]], [[1.0]], outputs="logits").probabilities.round(3)
    array([[0.155, 0.422, 0.422, 0.   ]])
    """
    check_game(game)
    if outputs not in ("probabilities", "logits"):
        raise InvalidOption(f"outputs is {outputs!r}; it must be 'probabilities' or 'logits'")
    if illegal not in ("error", "mask"):
        raise InvalidOption(f"illegal is {illegal!r}; it must be 'error' or 'mask'")
    if not stationary and game.horizon is None:
        raise InvalidOption("a discounted game has no last step; tabulate a stationary policy")
    reader = _Reader(game, outputs == "logits", illegal == "mask", stationary, read_count(batch_size, "batch_size"))
    if callable(model):
        return reader.tabulate(model, reader.inputs(features, "features"))
    if not isinstance(model, list | tuple):
        raise InvalidPolicy(f"a {type(model).__name__} is no function; see from_torch, from_sklearn and the others")
    if len(model) != game.num_agents:
        raise PolicyShape(f"{len(model)} models are given for {game.num_agents} agents")
    own = isinstance(features, list | tuple) and all(isinstance(part, np.ndarray) for part in features)
    if own and len(features) != game.num_agents:
        raise PolicyShape(f"{len(features)} arrays of features are given for {game.num_agents} agents")
    factors = []
    for agent, of_agent in enumerate(model):
        given = features[agent] if own else features
        factors.append(reader.factor(of_agent, reader.inputs(given, f"features of {game.agent_name(agent)}"), agent))
    return CorrelatedPolicy.product(factors)


class _Reader:
    """Asks models about the states of a game, and checks what they answer."""

    def __init__(self, game: MarkovGame, logits: bool, mask: bool, stationary: bool, batch_size: int) -> None:
        self.game, self.logits, self.mask, self.stationary, self.batch_size = game, logits, mask, stationary, batch_size
        self.num_steps = 1 if stationary else game.num_stages()
        self.choices = [legal.sum(axis=1) > 1 for legal in game.legal]  # of each agent, (S,)

    def inputs(self, features: npt.ArrayLike, what: str) -> npt.NDArray[Any]:
        """Features as an array (steps, S, ..)."""
        array = np.asarray(features)
        lead = (self.game.num_states,) if self.stationary else (self.num_steps, self.game.num_states)
        if array.dtype == object or array.shape[: len(lead)] != lead:
            raise PolicyShape(
                f"{what} have shape {array.shape} and dtype {array.dtype}, expected numbers of shape "
                f"{'(S, ..)' if self.stationary else '(H, S, ..)'} with {lead}"
            )
        return array[None] if self.stationary else array

    def tabulate(self, model: Model, inputs: npt.NDArray[Any]) -> CorrelatedPolicy:
        """Ask one model for all agents: joint actions, or a tuple of their own."""
        asked = np.flatnonzero(np.any(self.choices, axis=0))
        if asked.size == 0:
            return CorrelatedPolicy(self._stacked([self.game.joint_legal.astype(np.float64)] * self.num_steps))
        answers = [self._ask(model, inputs[h], asked, h) for h in range(self.num_steps)]
        if not isinstance(answers[0][0], tuple):
            rows = [self._rows(answer, h, asked, None) for h, answer in enumerate(answers)]
            return CorrelatedPolicy(self._stacked(rows))
        factors = []
        for agent in range(self.game.num_agents):
            chosen = [[_part(part, agent, self.game.num_agents) for part in answer] for answer in answers]
            factors.append(self._stacked([self._rows(c, h, asked, agent) for h, c in enumerate(chosen)]))
        return CorrelatedPolicy.product(factors)

    def factor(self, model: Model, inputs: npt.NDArray[Any], agent: int) -> FloatArray:
        """Ask an agent's model: (S, n_i) or (H, S, n_i)."""
        asked = np.flatnonzero(self.choices[agent])
        return self._stacked(
            [self._rows(self._ask(model, inputs[h], asked, h), h, asked, agent) for h in range(self.num_steps)]
        )

    def _stacked(self, rows: list[FloatArray]) -> FloatArray:
        return rows[0] if self.stationary else np.stack(rows)

    def _ask(self, model: Model, inputs: npt.NDArray[Any], asked: IntArray, step: int) -> list[Any]:
        """Ask a model, batch by batch."""
        answers = []
        for start in range(0, asked.size, self.batch_size):
            states = asked[start : start + self.batch_size]
            where = f"{self._where(step, states[0], None)} and {states.size - 1} others"
            given = inputs[states]
            unknown = np.isnan(given.reshape(states.size, -1)).any(axis=1) if given.dtype.kind == "f" else np.zeros(1)
            if unknown.any():
                first = states[np.argmax(unknown)]
                raise PolicyNumber(
                    f"{self._where(step, first, None)}: the features hold NaN, as where an agent observes nothing; "
                    "put in what the model was trained with there"
                )
            try:
                answers.append(model(given))
            except InvalidPolicy as error:
                raise type(error)(f"{where}: {error}") from error
            except MailoptError:
                raise
            except Exception as error:
                raise InvalidPolicy(
                    f"{where}: the model raised {error!r}; it is called with an array of features (B, ..), see "
                    "from_torch and the others"
                ) from error
        return answers

    def _rows(self, answers: list[Any], step: int, asked: IntArray, agent: int | None) -> FloatArray:
        """Distributions at all states, of an agent or of all (None)."""
        legal = self.game.joint_legal if agent is None else self.game.legal[agent]
        table = np.zeros(legal.shape)
        single = legal.sum(axis=1) == 1
        table[single] = legal[single]
        for start, answer in zip(range(0, asked.size, self.batch_size), answers, strict=True):
            states = asked[start : start + self.batch_size]
            rows = self._numbers(answer, step, states, agent, legal.shape[1])
            chosen = ~single[states]  # an agent may have no choice where others do
            states = states[chosen]
            table[states] = self._read(rows[chosen], legal[states], step, states, agent)
        return table

    def _numbers(self, answer: Any, step: int, states: IntArray, agent: int | None, count: int) -> npt.NDArray[Any]:
        """One answer as an array (B, n) of floating-point numbers."""
        where = f"{self._where(step, states[0], agent)} and {states.size - 1} others"
        if isinstance(answer, list) and any(np.ndim(part) > 1 for part in answer if hasattr(part, "ndim")):
            raise PolicyShape(f"{where}: the model returned a list of arrays; make it a tuple, one for each agent")
        try:
            array: npt.NDArray[Any] = np.asarray(answer)
        except Exception as error:
            raise PolicyShape(
                f"{where}: the {type(answer).__name__} that the model returned is no array: {error}"
            ) from error
        shape = (states.size, count)
        whole = (states.size, *self.game.actions) if agent is None else shape
        if array.dtype.kind not in "fiub" or array.shape not in (shape, whole):
            raise PolicyShape(
                f"{where}: the model returned {type(answer).__name__} of shape {array.shape} and dtype {array.dtype}, "
                f"expected numbers of shape {shape}" + (f" or {whole}" if whole != shape else "")
            )
        array = array.reshape(shape)
        return array if array.dtype.kind == "f" else array.astype(np.float64)

    def _read(
        self, rows: npt.NDArray[Any], legal: BoolArray, step: int, states: IntArray, agent: int | None
    ) -> FloatArray:
        """Distributions (B, n), in double precision."""
        tolerance = _TOLERANCES.get(rows.dtype.itemsize, ROW_SUM_TOLERANCE)
        given = rows.astype(np.float64)
        bad = np.isnan(given) | (given == np.inf) | ((given < 0) if not self.logits else np.zeros_like(legal))
        if bad.any():
            k, action = np.argwhere(bad)[0]
            kind = "logit" if self.logits else "probability"
            raise PolicyNumber(f"{self._where(step, states[k], agent, action)}: {given[k, action]} is no {kind}")
        if self.logits:
            given = np.where(legal, given, -np.inf) if self.mask else given
            top = given.max(axis=1, keepdims=True)
            self._require_mass(top[:, 0] > -np.inf, step, states, agent)
            given = np.exp(given - top)
        else:
            sums = given.sum(axis=1)
            off = np.abs(sums - 1.0) > tolerance
            if off.any():
                k = int(np.argmax(off))
                raise PolicyDistribution(
                    f"{self._where(step, states[k], agent)}: the probabilities sum to {float(sums[k])!r}; they must "
                    f"sum to 1 within {tolerance:g}. If they are logits, say outputs='logits'"
                )
            given = np.where(legal, given, 0.0) if self.mask else given
            self._require_mass(given.sum(axis=1) > 0, step, states, agent)
        result = given / given.sum(axis=1, keepdims=True)
        wrong = (result > 0) & ~legal
        if wrong.any():
            k, action = np.argwhere(wrong)[0]
            raise IllegalAction(
                f"{self._where(step, states[k], agent, action)}: it is illegal there but has probability "
                f"{result[k, action]:g}; say illegal='mask' if the model is to be conditioned on legal actions"
            )
        return np.asarray(result)

    def _require_mass(self, there: BoolArray, step: int, states: IntArray, agent: int | None) -> None:
        if not there.all():
            where = self._where(step, states[np.argmin(there)], agent)
            raise IllegalAction(f"{where}: the model gives no probability to any {'legal ' * self.mask}action")

    def _where(self, step: int, state: int, agent: int | None, action: int | None = None) -> str:
        parts = [] if self.stationary else [f"step {step}"]
        parts.append(f"state {state}" + (f" ({self.game.state_name(int(state))})" if self.game.state_names else ""))
        if agent is not None:
            parts.append(self.game.agent_name(agent))
        if action is not None:
            named = self.game.joint_action(int(action)) if agent is None else int(action)
            parts.append(f"{'joint ' * (agent is None)}action {named}")
        return f"model, {', '.join(parts)}"


def _part(answer: Any, agent: int, count: int) -> Any:
    """One agent's part of what a model says of all."""
    if not isinstance(answer, tuple) or len(answer) != count:
        raise PolicyShape(
            f"the model returned a {type(answer).__name__}"
            + (f" of {len(answer)}" if isinstance(answer, tuple) else "")
            + f", expected a tuple of {count} arrays, one for each agent"
        )
    return answer[agent]
