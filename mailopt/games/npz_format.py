"""Games and policies as NPZ archives of plain arrays, for large ones.

Beside an array ``x`` stand ``x_exact_index`` and ``x_exact_value`` (strings ``"n/d"``) if it has entries that are not
exactly doubles. The kernel of step k is ``kernel_k_successors``, or ``kernel_k_probabilities``, or the three CSR
arrays ``kernel_k_data``, ``kernel_k_indices``, ``kernel_k_indptr``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from mailopt.errors import MalformedFile
from mailopt.games import storage
from mailopt.games.game import MarkovGame
from mailopt.games.kernels import DenseKernel, DeterministicKernel, SparseKernel, TransitionKernel
from mailopt.games.numbers import Exact, as_given
from mailopt.games.policy import CorrelatedPolicy


def game_arrays(game: MarkovGame) -> dict[str, npt.ArrayLike]:
    """Return the arrays that a game file holds beside its header."""
    arrays: dict[str, npt.ArrayLike] = {
        "actions": np.array(game.actions, dtype=np.int64),
        "num_kernels": np.int64(len(game.kernels)),
    }
    storage.put(arrays, "initial", game.initial, game.exact_initial)
    storage.put(arrays, "rewards", game.rewards, game.exact_rewards)
    if game.horizon is not None:
        arrays["horizon"] = np.int64(game.horizon)
    else:
        exact: Exact = {} if game.exact_discount is None else {(): game.exact_discount}
        storage.put(arrays, "discount", np.asarray(game.discount), exact)
    for k, kernel in enumerate(game.kernels):
        name = f"kernel_{k}"
        if isinstance(kernel, DeterministicKernel):
            arrays[f"{name}_successors"] = kernel.successors
        elif isinstance(kernel, DenseKernel):
            storage.put(arrays, f"{name}_probabilities", kernel.probabilities, kernel.exact)
        else:
            rows = kernel.stored_rows()
            storage.put(arrays, f"{name}_data", rows.data, kernel.exact)
            arrays[f"{name}_indices"], arrays[f"{name}_indptr"] = rows.indices, rows.indptr
    if not game.joint_legal.all():
        for agent, mask in enumerate(game.legal):
            arrays[f"legal_{agent}"] = mask
    for key, names in (("state_names", game.state_names), ("agent_names", game.agent_names)):
        if names is not None:
            arrays[key] = np.array(names)
    for agent, actions in enumerate(game.action_names or ()):
        arrays[f"action_names_{agent}"] = np.array(actions)
    if game.estimated_from is not None:
        arrays["estimated_from"] = np.int64(game.estimated_from)
    return arrays


def read_game(fields: storage.NpzFields) -> MarkovGame:
    """Build the game that an archive's arrays describe."""
    actions = fields.take("actions", "iu", 1)
    agents = range(actions.size)
    initial = as_given(*fields.take_exact("initial", 1))
    has_discount = "discount" in fields
    discount = as_given(*fields.take_exact("discount", 0)).item() if has_discount else None
    kernels = [_read_kernel(fields, f"kernel_{k}", initial.size) for k in range(fields.take_integer("num_kernels"))]
    game = MarkovGame(
        kernels if len(kernels) != 1 else kernels[0],
        as_given(*fields.take_exact("rewards", 3, 4)),
        initial,
        [int(n) for n in actions],
        horizon=None if has_discount else fields.take_integer("horizon"),
        discount=discount,
        legal=[fields.take(f"legal_{i}", "b", 2) for i in agents] if "legal_0" in fields else None,
        state_names=_names(fields, "state_names"),
        agent_names=_names(fields, "agent_names"),
        action_names=[_names(fields, f"action_names_{i}") or [] for i in agents]
        if "action_names_0" in fields
        else None,
        estimated_from=fields.take_integer("estimated_from") if "estimated_from" in fields else None,
    )
    fields.finish()
    return game


def policy_arrays(policy: CorrelatedPolicy) -> dict[str, npt.ArrayLike]:
    """Return the arrays that a policy file holds beside its header."""
    arrays: dict[str, npt.ArrayLike] = {}
    storage.put(arrays, "probabilities", policy.probabilities, policy.exact)
    return arrays


def read_policy(fields: storage.NpzFields) -> CorrelatedPolicy:
    """Build the policy that an archive's arrays describe."""
    policy = CorrelatedPolicy(as_given(*fields.take_exact("probabilities", 2, 3)))
    fields.finish()
    return policy


def _read_kernel(fields: storage.NpzFields, name: str, num_states: int) -> TransitionKernel:
    if f"{name}_successors" in fields:
        return DeterministicKernel(fields.take(f"{name}_successors", "iu", 2))
    if f"{name}_probabilities" in fields:
        return DenseKernel(as_given(*fields.take_exact(f"{name}_probabilities", 3)))
    data, exact = fields.take_exact(f"{name}_data", 1, index_length=3)
    indices, indptr = fields.take(f"{name}_indices", "iu", 1), fields.take(f"{name}_indptr", "iu", 1)
    try:
        matrix = sparse.csr_array((data, indices, indptr), shape=(indptr.size - 1, num_states))
        matrix.check_format(full_check=True)
    except ValueError as error:
        raise MalformedFile(f"{name} is not a sparse matrix: {error}") from None
    return SparseKernel(matrix, exact=exact)


def _names(fields: storage.NpzFields, key: str) -> list[str] | None:
    return [str(name) for name in fields.take(key, "U", 1)] if key in fields else None
