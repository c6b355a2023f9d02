"""What enumeration found, as the arrays of a Markov game."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from mailopt.games.kernels import DeterministicKernel, SparseKernel, TransitionKernel
from mailopt.games.numbers import BoolArray, FloatArray, IntArray

_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Table:
    """What every joint action at every state (and step) leads to; R rows and E entries."""

    step: IntArray  # (R,)
    state: IntArray  # (R,)
    joint: IntArray  # (R,)
    rewards: FloatArray  # (m, R)
    row: IntArray  # (E,)
    target: IntArray  # (E,)
    probability: FloatArray  # (E,)

    def at_once(self, joint_legal: BoolArray) -> tuple[TransitionKernel, FloatArray]:
        """Make one kernel and its rewards from all rows."""
        matrix, rewards = self._assemble(np.ones(self.step.size, dtype=bool), joint_legal)
        return _kernel(matrix), rewards

    def by_step(
        self, joint_legal: BoolArray, require_room: Callable[[int], None]
    ) -> tuple[TransitionKernel | list[TransitionKernel], FloatArray]:
        """Make a kernel and rewards for each step, or one for all if no two steps disagree where they have rows."""
        first = np.full(joint_legal.shape[0], self.step.max())
        np.minimum.at(first, self.state, self.step)
        matrix, rewards = self._assemble(self.step == first[self.state], joint_legal)
        rows = sparse.coo_array(
            (self.probability, (self.row, self.target)), shape=(self.step.size, joint_legal.shape[0])
        ).tocsr()
        if (
            np.array_equal(rewards[:, self.state, self.joint], self.rewards)
            and not (rows != matrix[self.state * joint_legal.shape[1] + self.joint]).nnz
        ):
            return _kernel(matrix), rewards
        require_room(rewards.size * int(self.step.max() + 1))
        steps = [self._assemble(self.step == h, joint_legal) for h in range(self.step.max() + 1)]
        return [_kernel(matrix) for matrix, _ in steps], np.stack([rewards for _, rewards in steps])

    def _assemble(self, chosen: BoolArray, joint_legal: BoolArray) -> tuple[sparse.csr_array, FloatArray]:
        """Transitions (S*A, S) and rewards (m, S, A) of some rows; other legal joint actions stay, for nothing."""
        num_states, num_joint = joint_legal.shape
        rewards = np.zeros((len(self.rewards), num_states, num_joint))
        rewards[:, self.state[chosen], self.joint[chosen]] = self.rewards[:, chosen]
        idle = joint_legal.copy()
        idle[self.state[chosen], self.joint[chosen]] = False
        stay = np.flatnonzero(idle)
        entries = chosen[self.row]
        place = self.state * num_joint + self.joint
        index = np.concatenate([place[self.row[entries]], stay])
        target = np.concatenate([self.target[entries], stay // num_joint])
        data = np.concatenate([self.probability[entries], np.ones(stay.size)])
        shape = (num_states * num_joint, num_states)
        return sparse.coo_array((data, (index, target)), shape=shape).tocsr(), rewards


def _kernel(matrix: sparse.csr_array) -> TransitionKernel:
    """Deterministic if no row has two successors, else sparse."""
    sizes = np.diff(matrix.indptr)
    if sizes.max() > 1 or np.abs(matrix.data - 1.0).max() > _TOLERANCE:
        return SparseKernel(matrix)
    successors = np.full(sizes.size, -1, dtype=np.int64)
    successors[sizes == 1] = matrix.indices
    return DeterministicKernel(successors.reshape(matrix.shape[1], -1))
