"""Games that are known from logged transitions only.

An estimated game holds counts, the most likely game (the point estimate), and what the true one may be: for each legal
pair of state and joint action an interval for each transition probability and each mean reward, and intervals for the
initial distribution. With probability at least ``confidence``, over the log, all of them hold at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import sparse, special

from mailopt.errors import (
    InvalidOption,
    MalformedFile,
)
from mailopt.games import storage
from mailopt.games.game import MarkovGame, rebuilt
from mailopt.games.kernels import SparseKernel
from mailopt.games.numbers import BoolArray, FloatArray, IntArray

_FORMAT = ("mailopt.estimated_game", 1)
_KINDS = ("observed", "deterministic", "known")
_OFF = 1e-9  # relative error that quantiles of the beta distribution may have


@dataclass(frozen=True, eq=False, repr=False)
class EstimatedGame:
    """A game known from logged transitions; made by :meth:`mailopt.MarkovGame.from_samples`.

    It is no :class:`~mailopt.MarkovGame`, and what is computed of it has bounds of another kind:
    :func:`mailopt.estimated_values`, :func:`mailopt.estimated_regret` and :func:`mailopt.estimated_regret_gap` enclose
    what holds in the true game with probability at least ``confidence``. :meth:`point_estimate` is a game, marked, for
    whatever else.

    Attributes
    ----------
    shape
        A game of the same states, actions, names and horizon or discount in which nothing happens.
    counts
        How often each transition was seen, one matrix (S*A, S) for all steps or one for each.
    reward_means
        Means of the observed rewards (T, m, S, A) with T = 1 or H, 0 where there are none; or the rewards themselves
        where they are known.
    rewards
        ``"observed"`` (noisy), ``"deterministic"`` or ``"known"``.
    reward_range
        Lowest and highest reward that there may be; None where rewards are known.
    num_starts
        Number of first states seen; None if the distribution is known.
    num_transitions
        Length N of the log.
    confidence
        1 - delta.
    unvisited
        What the point estimate does where nothing was seen.
    """

    shape: MarkovGame
    counts: tuple[sparse.csr_array, ...]
    reward_means: FloatArray
    rewards: str
    reward_range: tuple[float, float] | None
    num_starts: int | None
    num_transitions: int
    confidence: float
    unvisited: str

    @cached_property
    def visits(self) -> IntArray:
        """How often each joint action was played in each state, (T, S, A)."""
        sums = [np.asarray(matrix.sum(axis=1)) for matrix in self.counts]
        return np.stack(sums).astype(np.int64).reshape(len(sums), *self.shape.joint_legal.shape)

    @property
    def starts(self) -> FloatArray:
        """How often each state was a first one, (S,), up to rounding; 0 if the initial distribution is known."""
        return np.asarray(self.shape.initial_distribution * (self.num_starts or 0))

    @cached_property
    def unseen(self) -> BoolArray:
        """Legal pairs of state and joint action that were never played, (T, S, A)."""
        return np.asarray((self.visits == 0) & self.shape.joint_legal)

    def __repr__(self) -> str:
        """Length of the log, what was never seen, and size in one line."""
        game, pairs = self.shape, int(self.shape.joint_legal.sum()) * len(self.counts)
        time = f"horizon {game.horizon}" if game.horizon is not None else f"discount {game.discount:g}"
        return (
            f"EstimatedGame({self.num_transitions} transitions, {int(self.unseen.sum())} of {pairs} legal (state, "
            f"joint action) pairs never seen, {game.num_agents} agents with {game.actions} actions, "
            f"{game.num_states} states, {time}, confidence {self.confidence:g})"
        )

    def point_estimate(self) -> MarkovGame:
        """Return the game of observed frequencies and mean rewards.

        It carries the mark ``estimated_from`` with the number of transitions. A pair that was never seen stays where it
        is, with reward 0, if ``unvisited`` is ``"stay"``.
        """
        return self._point_estimate

    @cached_property
    def _point_estimate(self) -> MarkovGame:
        joint, kernels = self.shape.num_joint_actions, []
        for matrix, unseen in zip(self.counts, self.unseen, strict=True):
            sums = np.asarray(matrix.sum(axis=1)).ravel()
            frequencies = sparse.diags_array(1.0 / np.where(sums > 0, sums, 1.0)) @ matrix
            rows = np.flatnonzero(unseen.ravel())
            stay = sparse.coo_array((np.ones(rows.size), (rows, rows // joint)), shape=matrix.shape)
            kernels.append(SparseKernel(sparse.csr_array(frequencies + stay)))
        return rebuilt(self.shape, kernels, self.reward_means if len(self.reward_means) > 1 else self.reward_means[0])

    # What the true game may be

    @cached_property
    def _levels(self) -> dict[str, float]:
        """Share of delta of each single statement, before it is spread over numbers of visits."""
        pairs = int(self.shape.joint_legal.sum()) * len(self.counts)
        statements = {"transition": pairs * self.shape.num_states}
        if self.rewards == "observed":
            statements["reward"] = pairs * self.shape.num_agents
        if self.num_starts is not None:
            statements["start"] = self.shape.num_states
        share = (1.0 - self.confidence) / len(statements)
        return {kind: share / number for kind, number in statements.items()}

    def transition_bounds(self, stage: int, rows: slice) -> tuple[FloatArray, FloatArray]:
        """Bounds of transition probabilities, two arrays (rows, S), for some of the S*A rows.

        After n visits, k of them followed by s', they are the Clopper-Pearson interval of level
        alpha / (n (n + 1)), with alpha the share of delta of one row's one entry; [0, 1] if n = 0.
        """
        lower, upper, none = self._row_bounds[stage]
        low, high = lower[rows].toarray(), np.repeat(none[rows, None], self.shape.num_states, axis=1)
        seen = upper[rows].tocoo()
        high[seen.row, seen.col] = seen.data
        return low, high

    @cached_property
    def _row_bounds(self) -> list[tuple[sparse.csr_array, sparse.csr_array, FloatArray]]:
        """Bounds of what was seen, for each stage, and of each row's entries that were not."""
        result, level = [], self._levels["transition"]
        for matrix in self.counts:
            sums = np.asarray(matrix.sum(axis=1)).ravel()
            trials = np.repeat(sums, np.diff(matrix.indptr))
            low, high = binomial_bounds(matrix.data, trials, level)
            _, none = binomial_bounds(np.zeros(sums.size), sums, level)
            place = (matrix.indices, matrix.indptr)
            pair = (sparse.csr_array((values, *place), shape=matrix.shape) for values in (low, high))
            result.append((*pair, none))
        return result

    @cached_property
    def initial_bounds(self) -> tuple[FloatArray, FloatArray]:
        """Bounds of the initial distribution, two arrays (S,); both of them itself if it is known."""
        if self.num_starts is None:
            known = self.shape.initial_distribution
            return known, known
        return binomial_bounds(np.rint(self.starts), np.array(float(self.num_starts)), self._levels["start"])

    @cached_property
    def reward_bounds(self) -> tuple[FloatArray, FloatArray]:
        """Bounds of mean rewards, two arrays (T, m, S, A); 0 where the joint action is illegal.

        Observed ones: Hoeffding's inequality after n visits, mean +- (high - low) sqrt(ln(2 n (n + 1) / alpha) / 2n),
        and the range itself. Deterministic ones are known once seen.
        """
        if self.reward_range is None:
            return self.reward_means, self.reward_means
        low, high = self.reward_range
        n = self.visits[:, None].astype(np.float64)
        seen = np.broadcast_to(n > 0, self.reward_means.shape)
        radius = np.zeros_like(n)
        if self.rewards == "observed":
            many = np.maximum(n, 1.0)
            radius = (high - low) * np.sqrt(np.log(2 * many * (many + 1) / self._levels["reward"]) / (2 * many))
            radius += (many + 8) * 2.0**-52 * max(abs(low), abs(high))  # of summing up in doubles
        legal = self.shape.joint_legal
        lower = np.where(seen, np.maximum(self.reward_means - radius, low), low)
        upper = np.where(seen, np.minimum(self.reward_means + radius, high), high)
        return np.where(legal, lower, 0.0), np.where(legal, upper, 0.0)

    def save(self, path: str | Path) -> None:
        """Write it to an ``.npz`` file; see :func:`mailopt.load_estimated_game`.

        Raises
        ------
        InvalidOption
            The path does not end in ``.npz``.
        """
        from mailopt.games.npz_format import game_arrays  # noqa: PLC0415 - it imports this package's game

        if not storage.is_npz(path):
            raise InvalidOption(f"{path}: an estimated game is written to .npz files only")
        arrays: dict[str, npt.ArrayLike] = {f"shape_{key}": value for key, value in game_arrays(self.shape).items()}
        for k, matrix in enumerate(self.counts):
            arrays |= {f"counts_{k}_{part}": getattr(matrix, part) for part in ("data", "indices", "indptr")}
        arrays |= {
            "num_counts": np.int64(len(self.counts)),
            "reward_means": self.reward_means,
            "rewards": np.array(self.rewards),
            "num_transitions": np.int64(self.num_transitions),
            "confidence": np.array(self.confidence),
            "unvisited": np.array(self.unvisited),
        }
        if self.reward_range is not None:
            arrays["reward_range"] = np.array(self.reward_range)
        if self.num_starts is not None:
            arrays["num_starts"] = np.int64(self.num_starts)
        storage.write_npz(path, *_FORMAT, arrays)


def load_estimated_game(path: str | Path) -> EstimatedGame:
    """Read an estimated game from an ``.npz`` file.

    Raises
    ------
    MalformedFile, UnsupportedVersion
        The file is no such file, a game's for instance.
    OSError
        The file cannot be opened.
    """
    from mailopt.games.files import naming  # noqa: PLC0415 - files imports the game
    from mailopt.games.npz_format import read_game  # noqa: PLC0415

    with naming(path):
        fields = storage.read_npz(path, *_FORMAT)
        shape = read_game(fields.part("shape_"))
        counts = []
        for k in range(fields.take_integer("num_counts")):
            parts = [fields.take(f"counts_{k}_{part}", "iu", 1).copy() for part in ("data", "indices", "indptr")]
            try:
                matrix = sparse.csr_array(tuple(parts), shape=(shape.joint_legal.size, shape.num_states))
                matrix.check_format(full_check=True)
            except ValueError as error:
                raise MalformedFile(f"counts_{k} is no sparse matrix: {error}") from None
            if not matrix.has_canonical_format:
                raise MalformedFile(f"counts_{k} has a row whose successors are not ascending")
            counts.append(matrix)
        known = "reward_range" not in fields
        ends = () if known else tuple(fields.take("reward_range", "f", 1).tolist())
        found = EstimatedGame(
            shape,
            tuple(counts),
            fields.take("reward_means", "f", 4),
            str(fields.take("rewards", "U", 0)),
            None if known else ends,
            fields.take_integer("num_starts") if "num_starts" in fields else None,
            fields.take_integer("num_transitions"),
            float(fields.take("confidence", "f", 0)),
            str(fields.take("unvisited", "U", 0)),
        )
        fields.finish()
        _check_read(found)
    return found


def _check_read(found: EstimatedGame) -> None:
    """Raise unless what was read from a file fits together."""
    game, means, known = found.shape, found.reward_means, found.reward_range is None
    stages, total = len(found.counts), sum(int(matrix.sum()) for matrix in found.counts)
    lengths = {1, stages} if not known else {1, game.horizon or 1}
    ends = (-math.inf, math.inf) if found.reward_range is None else found.reward_range
    seen = game.joint_legal if known else np.asarray(found.visits > 0)[:, None]
    problems = {
        "counts": stages not in (1, game.horizon or 1)
        or not total == found.num_transitions == game.estimated_from
        or not all((matrix.data > 0).all() for matrix in found.counts)
        or bool((found.visits[:, ~game.joint_legal] > 0).any()),
        "rewards": found.rewards not in _KINDS or known != (found.rewards == "known"),
        "reward_range": len(ends) != 2 or not ends[0] <= ends[1] or (not known and not np.isfinite(ends).all()),
        "reward_means": len(means) not in lengths
        or means.shape[1:] != (game.num_agents, *game.joint_legal.shape)
        or not np.isfinite(means).all(),
        "num_starts": found.num_starts is not None
        and (found.num_starts < 1 or np.abs(found.starts - np.rint(found.starts)).max() > 1e-6),
        "confidence": not 0 < found.confidence < 1,
        "unvisited": found.unvisited not in ("error", "stay")
        or (found.unvisited == "error" and bool(found.unseen.any())),
    }
    wrong = next((name for name, bad in problems.items() if bad), None)
    if wrong is None and not known:
        wrong = None if ((ends[0] <= means) & (means <= ends[1]) | ~seen).all() else "reward_means"
    if wrong is not None:
        raise MalformedFile(f"{wrong} of the estimated game do not fit the rest of the file")


def binomial_bounds(counts: FloatArray, trials: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    """Clopper-Pearson bounds of probabilities, for any number of trials at once.

    At n trials the level is ``level / (n (n + 1))``, which sums to ``level`` over all n, so that the bounds hold
    whatever decided how many trials there were. Source: Clopper and Pearson, Biometrika 26 (1934). They are moved
    outwards by 1e-9 of themselves, more than quantiles of the beta distribution are off by.
    """
    k, n = np.broadcast_arrays(np.asarray(counts, dtype=np.float64), np.asarray(trials, dtype=np.float64))
    alpha = level / np.maximum(n * (n + 1.0), 1.0)
    lower, upper = np.zeros(k.shape), np.ones(k.shape)
    some, missed = k > 0, (k < n)
    lower[some] = special.betaincinv(k[some], n[some] - k[some] + 1, alpha[some] / 2)
    none = missed & (k == 0)
    upper[none] = -np.expm1(np.log(alpha[none] / 2) / n[none])
    rest = missed & (k > 0)
    upper[rest] = special.betainccinv(k[rest] + 1, n[rest] - k[rest], alpha[rest] / 2)
    return lower * (1.0 - _OFF), np.minimum(upper * (1.0 + _OFF), 1.0)
