"""The deviation occupancy program: everything one agent can reach by disobeying."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import sparse

from mailopt.deviations import (
    Budget,
    DeviationClass,
    Finite,
    Limited,
    Stagewise,
    Stationary,
    Swap,
    check_deviations,
)
from mailopt.errors import InvalidDeviation, InvalidOption
from mailopt.games.game import MarkovGame
from mailopt.games.kernels import DenseKernel
from mailopt.games.numbers import FloatArray
from mailopt.games.policy import CorrelatedPolicy, check_policy
from mailopt.programs.mixing import departures, descending, obeyed, played
from mailopt.programs.stages import arrivals, for_stages, inflow
from mailopt_solvers import Block, LinearProgram, ProgramBuilder

Formulation = Literal["auto", "direct", "linked"]


def deviation(
    game: MarkovGame,
    policy: CorrelatedPolicy,
    agent: int,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
    *,
    formulation: Formulation = "auto",
) -> LinearProgram:
    """Linear program over the deviation occupancies of one agent; its optimum is max_phi J_i(phi∘sigma).

    With k the others' actions, K_h[s,a,b,s'] = sum_k sigma_h(a,k|s) P_h(s'|s,b,k) and
    U_h[s,a,b] = sum_k sigma_h(a,k|s) r_{i,h}(s,b,k)::

        maximise    sum_h <U_h, z_h>
        subject to  told:  sum_b z_h(s,a,b) = D_h(s)          for every h, s, a
                    flow:  D_0 = rho,  D_{h+1}(s') = sum_{s,a,b} K_h[s,a,b,s'] z_h(s,a,b)
                    z >= 0,  D free

    z_h(s,a,b) is the probability that the state is s at step h and that the agent would play b if told a there. The
    duals of ``flow`` are the value function V_h(s) of the best deviation. Discounted: D(s') = (1 - gamma) rho(s') +
    gamma sum K z with objective <U, z> / (1 - gamma), and V is 1 - gamma times the dual.

    Parameters
    ----------
    game, policy
        The game and the policy that the others obey.
    agent
        The deviating agent.
    deviations
        The class. The block ``z`` has shape (T, S, cells, n) where each cell of recommendations picks one action:
        n cells for swap, 1 for external deviations. For classes such as internal ones, it has one variable for each
        atom of the class, (T, S, W): the mass with which that map from recommendations to actions is picked.
        ``Limited(k, inner)``: D is (T, L, S) for the L = k + 1 numbers of departures left, a block ``o`` of the same
        shape is the mass with which the agent obeys, and z, (T, L - 1, S, ..), that of each atom with at least one
        departure left. ``Budget(kappa)``: the row ``budget``, sum sigma_i(a|s) z_h(s,a,b) [b != a] <= kappa
        (discounted (1 - gamma) kappa). ``Stationary()``: a block x (S, n, n), rows ``one``: sum_b x(s,a,b) = 1, and
        ``same``: z_h(s,a,b) <= x(s,a,b); its points with x in {0, 1} are the class, others only bound it.
    formulation
        ``"direct"`` has K in the flow rows. ``"linked"`` adds variables y_h(s,b,k) = sum_a sigma_h(a,k|s) z_h(s,a,b)
        (rows ``link``), so that the flow rows have the nonzeros of P and not those of K: the choice for sparse games.
        ``"auto"`` takes ``"direct"`` for dense kernels and for a single step, else ``"linked"``.

    Returns
    -------
    A maximisation with T = H stages; discounted, T is the policy's number of steps, or 1.

    Raises
    ------
    InvalidPolicy, UnknownAgent, InvalidDeviation, InvalidOption
        The policy, the agent, the class or the formulation does not fit.

    Examples
    --------
    >>> import mailopt as mo
    >>> from mailopt_solvers import solve
    >>> chain = mo.scenarios.unvisited_chain(4)
    >>> program = mo.programs.deviation(chain.game, chain.learner, agent=0)
    >>> solve(program).objective
    3.0
    """
    check_policy(game, policy)
    game.check_agent(agent)
    check_deviations(deviations, game)
    if formulation not in ("auto", "direct", "linked"):
        raise InvalidOption(f"formulation is {formulation!r}; it must be 'auto', 'direct' or 'linked'")
    if isinstance(deviations, Finite):
        raise InvalidDeviation(f"{deviations!r} has no linear program; each of its deviations is evaluated")
    linked = formulation == "linked" or (
        formulation == "auto" and game.horizon != 1 and not isinstance(game.kernels[0], DenseKernel)
    )
    return _Assembly(game, policy, agent, deviations, linked).build()


class _Assembly:
    """The program while it is put together: T stages, L numbers of departures left (1 if none are counted)."""

    def __init__(
        self, game: MarkovGame, policy: CorrelatedPolicy, agent: int, deviations: DeviationClass, linked: bool
    ) -> None:
        self.game, self.agent, self.deviations, self.linked = game, agent, deviations, linked
        self.stages = game.num_stages(policy.num_steps, deviations.num_steps)
        self.sigmas = [policy.at(h) for h in range(policy.num_steps or 1)]
        self.limited = isinstance(deviations, Limited)
        self.layers = deviations.layers(game) if isinstance(deviations, Limited) else 1
        self.stagewise = _stagewise(deviations)
        self.atoms = self.stagewise.atoms(game.actions[agent], agent)
        self.inflow = inflow(game, self.stages)
        if self.limited:
            self.inflow = np.stack([*[np.zeros_like(self.inflow)] * (self.layers - 1), self.inflow], axis=1)
        self.rewards = [
            np.tile(game.reward(h)[agent].ravel() / game.occupancy_mass, self.layers) for h in range(self.stages)
        ]
        self.builder = ProgramBuilder("max")
        self.mixing: dict[Block, list[sparse.csr_array]] = {}

    def build(self) -> LinearProgram:
        states = self.builder.add_variables("D", self.inflow.shape, lower=-np.inf)
        told = self._choose()
        groups = self.atoms.num_groups
        told[states] = -sparse.kron(sparse.eye_array(states.size), np.ones((groups, 1)))
        self.builder.add_rows("told", (*states.shape, groups), told, lower=0.0, upper=0.0)
        self._flow(states)
        if isinstance(self.deviations, Budget):
            costs = for_stages([departures(self.game, sigma, self.agent) for sigma in self.sigmas], self.stages)
            afforded = self.deviations.kappa * self.game.occupancy_mass
            self.builder.add_rows("budget", (1,), {"z": sparse.csr_array(np.ravel(costs)[None])}, upper=afforded)
        if isinstance(self.deviations, Stationary):
            self._same()
        return self.builder.build()

    def _add(self, name: str, shape: tuple[int, ...], mixes: list[sparse.csr_array], upper: FloatArray) -> Block:
        """Add variables, given the masses of joint actions that they lead to at each stage."""
        moves = for_stages(mixes, self.stages)
        costs = np.stack([m.T @ r for m, r in zip(moves, self.rewards, strict=True)]).reshape(shape)
        block = self.builder.add_variables(name, shape, upper=upper, costs=0.0 if self.linked else costs)
        self.mixing[block] = moves
        return block

    def _choose(self) -> dict[Block, sparse.sparray]:
        """Add the masses of what is picked; the result is their part in the rows that share out D."""
        game, agent, atoms, layers = self.game, self.agent, self.atoms, self.layers
        size, width = game.num_states, len(atoms.plays)
        allowed = [self.stagewise.allowed_atoms(game, agent, h) for h in range(self.stages)]
        upper = np.stack([np.full((size, width), np.inf) if c is None else np.where(c, np.inf, 0.0) for c in allowed])
        shape = (size, *atoms.shape)
        told: dict[Block, sparse.sparray] = {}
        if not self.limited:
            mixes = [played(game, sigma, agent, atoms.table()) for sigma in self.sigmas]
            z = self._add("z", (self.stages, *shape), mixes, upper.reshape(self.stages, *shape))
            told[z] = sparse.kron(sparse.eye_array(self.stages), self._picks(), format="csr")
            return told
        obeying = self._add(
            "o", self.inflow.shape, [obeyed(sigma, layers) for sigma in self.sigmas], np.full(self.inflow.shape, np.inf)
        )
        told[obeying] = sparse.kron(sparse.eye_array(obeying.size), np.ones((atoms.num_groups, 1)))
        if layers > 1:
            lead = (self.stages, layers - 1)
            mixes = [descending(game, sigma, agent, atoms, layers) for sigma in self.sigmas]
            every = np.broadcast_to(upper[:, None], (*lead, *upper.shape[1:])).reshape(*lead, *shape)
            z = self._add("z", (*lead, *shape), mixes, every)
            above = sparse.kron(sparse.eye_array(layers, layers - 1, k=-1), self._picks(), format="csr")
            told[z] = sparse.kron(sparse.eye_array(self.stages), above, format="csr")
        return told

    def _picks(self) -> sparse.sparray:
        """Sum of the atoms of each group at each state."""
        member = np.arange(self.atoms.num_groups)[:, None] == self.atoms.group
        cells = sparse.csr_array(member.astype(np.float64))
        return sparse.kron(sparse.eye_array(self.game.num_states), cells, format="csr")

    def _flow(self, states: Block) -> None:
        """Add the rows that carry masses from stage to stage."""
        arrive = for_stages(
            [sparse.kron(sparse.eye_array(self.layers), kernel.rows().T, format="csr") for kernel in self.game.kernels],
            self.stages,
        )
        terms: dict[Block, sparse.sparray] = {states: sparse.eye_array(states.size)}
        if self.linked:
            shape = (*self.inflow.shape, self.game.num_joint_actions)
            y = self.builder.add_variables("y", shape, costs=np.stack(self.rewards).reshape(shape))
            link = {block: -sparse.block_diag(moves) for block, moves in self.mixing.items()}
            self.builder.add_rows("link", shape, {y: sparse.eye_array(y.size), **link}, lower=0.0, upper=0.0)
            terms[y] = -arrivals(self.game, [sparse.coo_array(p) for p in arrive])
        else:
            for block, moves in self.mixing.items():
                reached = [sparse.coo_array(p @ m) for p, m in zip(arrive, moves, strict=True)]
                terms[block] = -arrivals(self.game, reached)
        self.builder.add_rows("flow", self.inflow.shape, terms, lower=self.inflow, upper=self.inflow)

    def _same(self) -> None:
        """Tie all steps to one deviation x."""
        n, size = self.game.actions[self.agent], self.game.num_states
        playable = np.broadcast_to(self.game.legal[self.agent][:, None, :], (size, n, n)).astype(np.float64)
        x = self.builder.add_variables("x", (size, n, n), upper=playable)
        self.builder.add_rows("one", (size, n), {x: self._picks()}, lower=1.0, upper=1.0)
        again = sparse.kron(np.ones((self.stages, 1)), sparse.eye_array(x.size), format="csr")
        rows = {"z": sparse.eye_array(self.stages * x.size), "x": -again}
        self.builder.add_rows("same", (self.stages, size, n, n), rows, upper=0.0)


def _stagewise(deviations: DeviationClass) -> Stagewise:
    """Class of what can be picked at a stage."""
    if isinstance(deviations, Limited):
        return deviations.inner
    return deviations if isinstance(deviations, Stagewise) else Swap()
