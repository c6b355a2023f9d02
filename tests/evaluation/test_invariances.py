"""What must not change the answer, what must change it in a known way, and special cases with their own formula."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import permutations, product
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mailopt as mo
from tests import oracle
from tests.exact_games import Case, Layout, numeric, random_case
from tests.oracle import Kind, Number

Array = npt.NDArray[np.float64]
Method = Literal["dp", "lp"]
METHODS: tuple[Method, ...] = ("dp", "lp")
CLASSES: tuple[mo.Swap | mo.External, ...] = (mo.Swap(), mo.External())
TOLERANCE = 1e-9

modest = settings(derandomize=True, deadline=None, max_examples=30)


@st.composite
def cases(
    draw: st.DrawFn,
    *,
    agents: tuple[int, int] = (1, 3),
    layouts: tuple[Layout, ...] = ("dense", "sparse", "deterministic"),
    illegal: bool = True,
) -> Case:
    """Small games, half of them discounted, with every layout, step-dependence and legality."""
    actions = tuple(draw(st.lists(st.integers(1, 3), min_size=agents[0], max_size=agents[1])))
    discount = draw(st.sampled_from((None, 0, 0.5, 0.9)))
    horizon = draw(st.integers(1, 4)) if discount is None else None
    return random_case(
        draw(st.integers(0, 10**6)),
        draw(st.integers(1, 4)),
        actions,
        horizon=horizon,
        discount=discount,
        layout=draw(st.sampled_from(layouts)),
        numbers=draw(st.sampled_from(("eighths", "fractions", "doubles"))),
        varying=draw(st.booleans()),
        illegal=illegal and draw(st.booleans()),
        policy_steps=draw(st.sampled_from((1, horizon or 3))),
    )


def tables(case: Case) -> tuple[list[Array], list[Array], Array, list[Array]]:
    """Kernels (S, A, S), rewards (m, S, A), initial and policy (S, A) as doubles; lists over steps."""
    return (
        [np.array(rows, dtype=float) for rows in case.transitions],
        [np.array(rows, dtype=float) for rows in case.rewards],
        np.array(case.initial, dtype=float),
        [np.array(rows, dtype=float) for rows in case.policy],
    )


def make(
    case: Case,
    kernels: list[Array],
    rewards: list[Array],
    initial: Array,
    policy: list[Array],
    *,
    actions: tuple[int, ...] | None = None,
    legal: list[Array] | None = None,
) -> Case:
    """Make a case of the same kind from other tables."""
    return replace(
        case,
        actions=actions or case.actions,
        layouts=["dense"] * len(kernels),
        transitions=[k.tolist() for k in kernels],
        rewards=[r.tolist() for r in rewards],
        initial=initial.tolist(),
        policy=[rows.tolist() for rows in policy],
        legal=case.legal if legal is None else [np.asarray(rows, dtype=bool).tolist() for rows in legal],
    )


def assert_close(found: object, expected: object, scale: float = 1.0) -> None:
    left, right = np.array(found, dtype=float), np.array(expected, dtype=float)
    assert left.shape == right.shape
    np.testing.assert_allclose(left, right, rtol=TOLERANCE, atol=TOLERANCE * scale)


def gains(case: Case, deviations: mo.Swap | mo.External, method: Method = "dp") -> Array:
    return mo.regret(case.game, case.sigma, deviations, method=method).per_agent


# ---- special cases with a formula of their own


@given(cases(agents=(1, 1)))
@modest
def test_one_agent_is_a_markov_decision_process(case: Case) -> None:
    """A single agent controls everything, whatever it is told: its best deviation is the optimal policy."""
    kernels, rewards, initial, _ = tables(case)
    legal = np.array(case.legal[0])
    discount = 1.0 if case.discount is None else float(case.discount)
    values = np.zeros(case.num_states)
    # value iteration: 0.9 ** 400 < 1e-18
    for step in reversed(range(case.horizon or 400)):
        kernel, reward = oracle.at(kernels, step), oracle.at(rewards, step)
        values = np.where(legal, reward[0] + discount * kernel @ values, -np.inf).max(axis=1)
    for deviations, method in product(CLASSES, METHODS):
        best = mo.best_deviation(case.game, case.sigma, 0, deviations, method=method)
        assert_close(best.value, initial @ values)
        if method == "dp":
            assert_close(best.state_values.reshape(-1, case.num_states)[0], values)
    assert_close(gains(case, mo.Swap()), gains(case, mo.External()))


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple),
    st.integers(0, 10**6),
    st.booleans(),
)
@modest
def test_one_shot_games_have_the_normal_form_formulas(actions: tuple[int, ...], seed: int, discounted: bool) -> None:
    """Swap: sum_a max_b sum_k x(a,k) [u(b,k) - u(a,k)]; external: max_b sum_{a,k} x(a,k) [u(b,k) - u(a,k)]."""
    rng = np.random.default_rng(seed)
    payoffs = rng.integers(-9, 10, size=(len(actions), *actions)) / 4
    x = rng.integers(0, 3, size=actions) + (np.arange(np.prod(actions)).reshape(actions) == 0)
    x = x / x.sum()
    game = mo.MarkovGame.from_normal_form(payoffs)
    if discounted:  # with discount 0 only the first step counts
        flat = payoffs.reshape(len(actions), 1, -1)
        game = mo.MarkovGame(np.zeros((1, x.size), dtype=int), flat, [1], actions, discount=0)
    sigma = mo.CorrelatedPolicy(x.reshape(1, -1))
    swap, external = [], []
    for i in range(len(actions)):
        u, y = (np.moveaxis(table, i, 0).reshape(actions[i], -1) for table in (payoffs[i], x))
        gain = [[(y[a] * (u[b] - u[a])).sum() for b in range(actions[i])] for a in range(actions[i])]
        swap.append(sum(max(row) for row in gain))
        external.append(max(sum(column) for column in zip(*gain, strict=True)))
    for method in METHODS:
        assert_close(mo.values(game, sigma, method=method).value, [(x * u).sum() for u in payoffs])
        for deviations, expected in zip(CLASSES, (swap, external), strict=True):
            regret = mo.regret(game, sigma, deviations, method=method)
            assert_close(regret.per_agent, expected)
            assert_close(regret.value, max(expected))


@given(cases(), st.integers(0, 10**6))
@modest
def test_recommendations_of_a_product_policy_tell_nothing(case: Case, seed: int) -> None:
    """Of independent agents nobody learns from its own recommendation: external and swap gains are equal."""
    rng = np.random.default_rng(seed)
    policy: list[list[list[Number]]] = []
    for _ in case.policy:
        rows = np.ones((case.num_states, 1))
        for i, n in enumerate(case.actions):
            weights = rng.integers(0, 4, size=(case.num_states, n)) * np.array(case.legal[i])
            weights += np.where(weights.any(axis=1, keepdims=True), 0, np.array(case.legal[i]))
            factor = weights / weights.sum(axis=1, keepdims=True)
            rows = (rows[:, :, None] * factor[:, None, :]).reshape(case.num_states, -1)
        policy.append([list(row) for row in rows.tolist()])
    independent = replace(case, policy=policy)
    swap, external = (gains(independent, deviations) for deviations in CLASSES)
    assert_close(swap, external)
    assert swap.min() >= -TOLERANCE


def test_correlated_recommendations_do_tell() -> None:
    """The contrast: in the game above external and swap gains of a correlated policy differ."""
    different = 0
    for seed in range(20):
        case = random_case(seed, 2, (3, 3), horizon=2)
        different += int((gains(case, mo.Swap()) > gains(case, mo.External()) + 0.01).any())
    assert different >= 10


# ---- relations that hold for every game


@given(cases())
@modest
def test_swap_regret_is_at_least_external_regret_and_zero(case: Case) -> None:
    for method in METHODS:
        swap, external = (gains(case, deviations, method) for deviations in CLASSES)
        assert (swap >= external - TOLERANCE).all()
        assert (swap >= -TOLERANCE).all()


@given(cases())
@modest
def test_occupancies_satisfy_the_flow_equations(case: Case) -> None:
    """Also those of deviations, for which the told and flow equations are checked one by one."""
    kernels, rewards, initial, policy = tables(case)
    stages = case.horizon or len(case.policy)
    shape = (case.num_states, -1)
    for method in METHODS:
        mu = mo.occupancy(case.game, case.sigma, method=method)
        assert mu.min() >= -TOLERANCE
        if case.horizon is not None:
            assert mu.shape[0] == case.horizon
            arriving = initial
            for step in range(case.horizon):
                assert_close(mu[step].sum(axis=1), arriving)
                assert_close(mu[step], arriving[:, None] * oracle.at(policy, step))
                arriving = np.einsum("sa,sat->t", mu[step], oracle.at(kernels, step))
            paid = sum(np.einsum("sa,isa->i", mu[h], oracle.at(rewards, h)) for h in range(case.horizon))
        else:
            discount = float(case.discount or 0)
            assert_close(mu.sum(), 1.0)
            arriving = (1 - discount) * initial + discount * np.einsum("sa,sat->t", mu, kernels[0])
            assert_close(mu.sum(axis=1), arriving)
            paid = np.einsum("sa,isa->i", mu, rewards[0]) / (1 - discount)
        assert_close(paid, mo.values(case.game, case.sigma).value)
    for agent, deviations, method in product(range(len(case.actions)), CLASSES, METHODS):
        best = mo.best_deviation(case.game, case.sigma, agent, deviations, method=method)
        n = case.actions[agent]
        z = best.occupancy.reshape(-1, case.num_states, n, n)
        D = best.state_occupancy.reshape(-1, case.num_states)
        assert len(z) == len(D) == stages
        assert z.min() >= -TOLERANCE
        assert_close(z.sum(axis=3), np.repeat(D[:, :, None], n, axis=2))
        # (h, s, a, b, k): told a, plays b, the others k
        joint = []
        for step in range(stages):
            rows = oracle.at(policy, step).reshape(case.num_states, *case.actions)
            told = np.moveaxis(rows, agent + 1, 1).reshape(case.num_states, n, -1)
            played = np.einsum("sab,sak->sbk", z[step], told)
            others = [m for i, m in enumerate(case.actions) if i != agent]
            joint.append(np.moveaxis(played.reshape(case.num_states, n, *others), 1, agent + 1).reshape(shape))
        leaving = [np.einsum("sa,sat->t", m, oracle.at(kernels, h)) for h, m in enumerate(joint)]
        paid = sum(float((m * oracle.at(rewards, h)[agent]).sum()) for h, m in enumerate(joint))
        if case.horizon is not None:
            for step in range(stages):
                assert_close(D[step], leaving[step - 1] if step else initial)
        else:
            discount = float(case.discount or 0)
            paid /= 1 - discount
            assert_close(D.sum(), 1.0)
            for step in range(stages):
                expected = discount * leaving[step - 1] if step else (1 - discount) * initial
                if step == stages - 1:  # the last stage repeats
                    expected = expected + discount * leaving[step]
                assert_close(D[step], expected)
        assert_close(paid, best.value)


# ---- relabelling


@given(cases(agents=(2, 3)), st.data())
@modest
def test_renaming_agents_permutes_the_results(case: Case, data: st.DataObject) -> None:
    m = len(case.actions)
    order = data.draw(st.sampled_from(list(permutations(range(m)))))

    def renamed(table: Array, axis: int) -> Array:
        split = table.reshape(*table.shape[:axis], *case.actions, *table.shape[axis + 1 :])
        return np.moveaxis(split, [axis + i for i in order], range(axis, axis + m)).reshape(table.shape)

    kernels, rewards, initial, policy = tables(case)
    other = make(
        case,
        [renamed(k, 1) for k in kernels],
        [renamed(r[list(order)], 2) for r in rewards],
        initial,
        [renamed(rows, 1) for rows in policy],
        actions=tuple(case.actions[i] for i in order),
        legal=[np.array(case.legal[i]) for i in order],
    )
    assert_close(mo.values(other.game, other.sigma).value, mo.values(case.game, case.sigma).value[list(order)])
    mu = mo.occupancy(case.game, case.sigma)
    assert_close(mo.occupancy(other.game, other.sigma), renamed(mu, mu.ndim - 1))
    for deviations in CLASSES:
        assert_close(gains(other, deviations), gains(case, deviations)[list(order)])


@given(cases(), st.data())
@modest
def test_renaming_actions_permutes_the_results(case: Case, data: st.DataObject) -> None:
    """Also the deviation returned is worth the same after translation."""
    orders = [data.draw(st.permutations(range(n))) for n in case.actions]
    joints = list(product(*(range(n) for n in case.actions)))
    flat = [joints.index(tuple(order[b] for order, b in zip(orders, joint, strict=True))) for joint in joints]
    kernels, rewards, initial, policy = tables(case)
    other = make(
        case,
        [k[:, flat] for k in kernels],
        [r[:, :, flat] for r in rewards],
        initial,
        [rows[:, flat] for rows in policy],
        legal=[np.array(rows)[:, order] for rows, order in zip(case.legal, orders, strict=True)],
    )
    assert_close(mo.occupancy(other.game, other.sigma), mo.occupancy(case.game, case.sigma)[..., flat])
    for deviations in CLASSES:
        assert_close(gains(other, deviations), gains(case, deviations))
        for agent, order in enumerate(orders):
            best = mo.best_deviation(other.game, other.sigma, agent, deviations)
            back = np.argsort(order)
            translated = mo.Deviation(agent, best.deviation.probabilities[..., back, :][..., :, back])
            applied = translated.apply(case.game, case.sigma)
            assert_close(mo.values(case.game, applied).value[agent], best.value)


@given(cases(), st.data())
@modest
def test_renaming_states_permutes_the_results(case: Case, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(case.num_states)))
    kernels, rewards, initial, policy = tables(case)
    other = make(
        case,
        [k[order][:, :, order] for k in kernels],
        [r[:, order] for r in rewards],
        initial[order],
        [rows[order] for rows in policy],
        legal=[np.array(rows)[order] for rows in case.legal],
    )
    mu = mo.occupancy(case.game, case.sigma)
    assert_close(mo.occupancy(other.game, other.sigma), mu[..., order, :])
    for deviations in CLASSES:
        assert_close(gains(other, deviations), gains(case, deviations))
        for agent in range(len(case.actions)):
            one, two = (mo.best_deviation(c.game, c.sigma, agent, deviations) for c in (case, other))
            assert_close(two.state_values, one.state_values[..., order])


# ---- rewards


@given(cases(), st.data())
@modest
def test_positive_affine_rewards(case: Case, data: st.DataObject) -> None:
    """Agent i's reward times k_i plus c_i: value times k_i plus c_i H (or c_i / (1 - gamma)), gains times k_i."""
    m = len(case.actions)
    # powers of two, so that the new game is exact and only the arithmetic is on trial
    scales = np.array(data.draw(st.lists(st.sampled_from((0.25, 1, 8)), min_size=m, max_size=m)), dtype=float)
    shifts = np.array(data.draw(st.lists(st.sampled_from((-32, 0, 0.5, 64)), min_size=m, max_size=m)), dtype=float)
    kernels, rewards, initial, policy = tables(case)
    changed = [r * scales[:, None, None] + shifts[:, None, None] for r in rewards]
    other = make(case, kernels, changed, initial, policy)
    length = case.horizon or 1 / (1 - float(case.discount or 0))
    for method in METHODS:
        before = mo.values(case.game, case.sigma, method=method).value
        after = mo.values(other.game, other.sigma, method=method).value
        assert_close(after, scales * before + shifts * length)
        for deviations in CLASSES:
            assert_close(gains(other, deviations, method), scales * gains(case, deviations, method))


@given(cases())
@modest
def test_an_agent_without_a_choice_gains_nothing(case: Case) -> None:
    """A new agent with one action changes nobody's numbers; its own gain is 0 whatever it is paid."""
    kernels, rewards, initial, policy = tables(case)
    watcher = [np.concatenate([r, 7 * r[:1]]) for r in rewards]
    legal = [*(np.array(rows) for rows in case.legal), np.ones((case.num_states, 1))]
    other = make(case, kernels, watcher, initial, policy, actions=(*case.actions, 1), legal=legal)
    for deviations, method in product(CLASSES, METHODS):
        assert_close(gains(other, deviations, method), [*gains(case, deviations), 0.0])


# ---- the same game described otherwise


@given(cases(illegal=False))
@modest
def test_layouts_and_repeated_steps_describe_the_same_game(case: Case) -> None:
    """Dense, sparse or successors; once or listed for each step; the policy likewise."""
    dense = replace(case, layouts=["dense"] * len(case.layouts))
    described: list[Case] = [dense, replace(dense, layouts=["sparse"] * len(case.layouts))]
    if case.horizon is not None:
        steps = range(case.horizon)
        described.append(
            replace(
                dense,
                layouts=["dense"] * case.horizon,
                transitions=[oracle.at(case.transitions, h) for h in steps],
                rewards=[oracle.at(case.rewards, h) for h in steps],
                policy=[oracle.at(case.policy, h) for h in steps],
            )
        )
    else:
        described.append(replace(dense, policy=[*case.policy, case.policy[-1], case.policy[-1]]))
    for other in described:
        assert_close(mo.values(other.game, other.sigma).value, mo.values(case.game, case.sigma).value)
        assert_close(mo.occupancy(other.game, other.sigma), mo.occupancy(case.game, case.sigma))
        for deviations, method in product(CLASSES, METHODS):
            assert_close(gains(other, deviations, method), gains(case, deviations))


@given(cases())
@modest
def test_an_unreachable_state_changes_nothing(case: Case) -> None:
    """The new state pays a fortune and leads anywhere, but nothing leads to it."""
    kernels, rewards, initial, policy = tables(case)
    joints = len(case.policy[0][0])

    def widened(kernel: Array) -> Array:
        wide = np.zeros((case.num_states + 1, joints, case.num_states + 1))
        wide[:-1, :, :-1] = kernel
        wide[-1, :, 0] = 1
        return wide

    other = make(
        case,
        [widened(k) for k in kernels],
        [np.concatenate([r, np.full((len(r), 1, joints), 500.0)], axis=1) for r in rewards],
        np.append(initial, 0),
        [np.vstack([rows, np.eye(joints)[:1]]) for rows in policy],
        legal=[np.vstack([np.array(rows), np.ones(n)]) for rows, n in zip(case.legal, case.actions, strict=True)],
    )
    mu = mo.occupancy(other.game, other.sigma)
    assert not mu[..., -1, :].any()
    assert_close(mu[..., :-1, :], mo.occupancy(case.game, case.sigma))
    assert_close(mo.values(other.game, other.sigma).value, mo.values(case.game, case.sigma).value)
    for deviations, method in product(CLASSES, METHODS):
        assert_close(gains(other, deviations, method), gains(case, deviations))


@given(cases(), st.data())
@modest
def test_splitting_a_state_in_two_copies_changes_nothing(case: Case, data: st.DataObject) -> None:
    """The copy behaves as the state and receives a share of all that led to it; occupancies add up."""
    twin = data.draw(st.integers(0, case.num_states - 1))
    share = data.draw(st.sampled_from((0.25, 0.5, 1.0)))
    kernels, rewards, initial, policy = tables(case)

    def shared(rows: Array) -> Array:
        extra = share * rows[..., twin : twin + 1]
        rows = rows.copy()
        rows[..., twin] *= 1 - share
        return np.concatenate([rows, extra], axis=-1)

    def doubled(table: Array, axis: int) -> Array:
        return np.concatenate([table, np.take(table, [twin], axis=axis)], axis=axis)

    other = make(
        case,
        [doubled(shared(k), 0) for k in kernels],
        [doubled(r, 1) for r in rewards],
        shared(initial),
        [doubled(rows, 0) for rows in policy],
        legal=[doubled(np.array(rows), 0) for rows in case.legal],
    )
    mu = mo.occupancy(other.game, other.sigma)
    merged = mu[..., :-1, :].copy()
    merged[..., twin, :] += mu[..., -1, :]
    assert_close(merged, mo.occupancy(case.game, case.sigma))
    assert_close(mo.values(other.game, other.sigma).value, mo.values(case.game, case.sigma).value)
    for deviations, method in product(CLASSES, METHODS):
        assert_close(gains(other, deviations, method), gains(case, deviations))


@given(cases())
@modest
def test_a_discounted_game_is_the_limit_of_finite_ones(case: Case) -> None:
    """Reward gamma^h r_h over 60 steps at gamma = 1/2 leaves less than 1e-14 out."""
    if case.discount is None:
        case = replace(
            case,
            horizon=None,
            discount=0.5,
            layouts=case.layouts[:1],
            transitions=case.transitions[:1],
            rewards=case.rewards[:1],
        )
    discount = min(float(case.discount or 0), 0.5)
    case = replace(case, discount=discount)
    _, rewards, _, _ = tables(case)
    finite = replace(
        case,
        horizon=60,
        discount=None,
        rewards=[(rewards[0] * discount**h).tolist() for h in range(60)],
        layouts=case.layouts * 60,
        transitions=case.transitions * 60,
        policy=[oracle.at(case.policy, h) for h in range(60)],
    )
    assert_close(mo.values(finite.game, finite.sigma).value, mo.values(case.game, case.sigma).value)
    for deviations in CLASSES:
        assert_close(gains(finite, deviations), gains(case, deviations))


# ---- fixed examples


@pytest.mark.parametrize("discount", [0, 0.5, 0.9, Fraction(9, 10), 0.999])
@pytest.mark.parametrize("method", METHODS)
def test_nothing_to_choose_means_no_regret(discount: Number, method: Method) -> None:
    """One state, one action, reward -1. Comparing with value 0 outside the support would report 1 / (1 - gamma)."""
    game = mo.MarkovGame([[[1.0]]], [[[-1.0]]], [1.0], (1,), discount=discount)
    sigma = mo.CorrelatedPolicy([[1.0]])
    assert_close(mo.values(game, sigma, method=method).value, [-1 / (1 - float(discount))])
    for deviations in CLASSES:
        regret = mo.regret(game, sigma, deviations, method=method)
        assert regret.value == pytest.approx(0, abs=1e-9)
        assert regret.best.value == pytest.approx(-1 / (1 - float(discount)), rel=1e-9)


@pytest.mark.parametrize("horizon", [1, 20])
def test_negative_rewards_are_no_regret_either(horizon: int) -> None:
    """The same with a horizon: obeying costs 1 a step and so does everything else."""
    game = mo.MarkovGame([[[1.0]]], [[[-1.0]]], [1.0], (1,), horizon=horizon)
    for method, deviations in product(METHODS, CLASSES):
        regret = mo.regret(game, mo.CorrelatedPolicy([[1.0]]), deviations, method=method)
        assert regret.value == pytest.approx(0, abs=1e-9)
        assert regret.best.value == pytest.approx(-horizon, abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_overflow_is_an_error_even_of_one_agent_only(method: Method) -> None:
    """Agent 0's sum leaves the doubles, agent 1's does not; infinity is no answer and nan is none."""
    tables = np.zeros((1, 1), dtype=int), [[[1e308]], [[1.0]]], [1], (1, 1)
    finite, discounted = mo.MarkovGame(*tables, horizon=3), mo.MarkovGame(*tables, discount=0.9)
    sigma = mo.CorrelatedPolicy([[1.0]])
    for game in (finite, discounted):
        with pytest.raises(mo.errors.InvalidNumber):
            mo.values(game, sigma, method=method)
        for deviations in CLASSES:
            with pytest.raises(mo.errors.InvalidNumber):
                mo.regret(game, sigma, deviations, method=method)
            with pytest.raises(mo.errors.InvalidNumber):
                mo.best_deviation(game, sigma, 0, deviations, method=method)


def test_a_thousand_steps() -> None:
    """Exact rationals on a two-state game of 1000 steps, against both methods."""
    rng = np.random.default_rng(7)
    transitions: list[list[list[Number]]] = [
        [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.5, 0.5]],
        [[0.5, 0.5], [0.0, 1.0], [1.0, 0.0], [0.5, 0.5]],
    ]
    rewards = rng.integers(-8, 9, size=(2, 2, 4)) / 4
    case = Case(
        (2, 2),
        ["dense"],
        [transitions],
        [rewards.tolist()],
        [1.0, 0.0],
        [[[True, True], [True, True]]] * 2,
        1000,
        None,
        [[[0.5, 0.0, 0.5, 0.0], [0.0, 0.5, 0.25, 0.25]]],
    )
    exact, sigma = case.exact_game, case.exact_sigma
    values = [oracle.value(exact, sigma, i) for i in exact.agents]
    kinds: tuple[Kind, ...] = ("swap", "external")
    for method in METHODS:
        np.testing.assert_allclose(
            mo.values(case.game, case.sigma, method=method).value, np.array(values, dtype=float), rtol=1e-10
        )
        for deviations, kind in zip(CLASSES, kinds, strict=True):
            expected = np.array([oracle.best_value(exact, sigma, i, kind) for i in exact.agents])
            found = [mo.best_deviation(case.game, case.sigma, i, deviations, method=method) for i in exact.agents]
            np.testing.assert_allclose([b.value for b in found], expected.astype(float), rtol=1e-10)
            np.testing.assert_allclose(
                [b.gain for b in found], (expected - np.array(values)).astype(float), rtol=1e-10, atol=1e-9
            )
            assert max(b.gain for b in found) > 100


def test_a_repeated_game_has_the_regret_of_its_stage_times_the_horizon() -> None:
    """With one state the deviation that is best once is best always."""
    payoffs = np.array([[0, 7, 2, 6], [0, 2, 7, 6]], dtype=float).reshape(2, 1, 4)
    sigma = mo.CorrelatedPolicy([[0.25, 0.25, 0.25, 0.25]])
    once = mo.regret(mo.scenarios.chicken(), sigma).per_agent
    for horizon, method in product((2, 50, 1000), METHODS):
        game = mo.MarkovGame(np.zeros((1, 4), dtype=int), payoffs, [1], (2, 2), horizon=horizon)
        np.testing.assert_allclose(mo.regret(game, sigma, method=method).per_agent, horizon * once, rtol=1e-10)


def test_fractions_and_doubles_that_hold_the_same_numbers_agree_exactly() -> None:
    """Eighths are doubles: given as fractions they must give bitwise the same results."""
    for seed in range(5):
        case = random_case(seed, 2, (2, 3), horizon=3)
        rational = replace(
            case,
            transitions=[[[[Fraction(p) for p in row] for row in rows] for rows in k] for k in case.transitions],
            rewards=[[[[Fraction(r) for r in row] for row in rows] for rows in step] for step in case.rewards],
            policy=[[[Fraction(p) for p in row] for row in rows] for rows in case.policy],
        )
        assert numeric(rational.rewards).dtype == object
        assert (mo.values(case.game, case.sigma).value == mo.values(rational.game, rational.sigma).value).all()
        for deviations in CLASSES:
            assert (gains(case, deviations) == gains(rational, deviations)).all()
