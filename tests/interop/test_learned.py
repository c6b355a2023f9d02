"""Models of real frameworks as policies: the frameworks' own numbers, and models that are no policies."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import onnx
import onnxruntime
import pytest
import skl2onnx
import stable_baselines3
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.tree import DecisionTreeClassifier

import mailopt as mo
from mailopt import errors
from mailopt.interop.learned import from_onnx, from_sklearn, from_stable_baselines3, from_torch, tabulate

STATES, ACTIONS, HORIZON, WIDTH = 7, (2, 3), 4, 5
JOINT = 6


def make_game(*, masked: bool = False, discount: float | None = None) -> mo.MarkovGame:
    rng = np.random.default_rng(0)
    legal = [np.ones((STATES, n), dtype=bool) for n in ACTIONS]
    if masked:
        legal[0][1] = [False, True]
        legal[1][2:4] = [True, False, True]
        for mask in legal:
            mask[-1] = False
            mask[-1, 0] = True  # nobody has a choice in the last state
    return mo.MarkovGame(
        rng.integers(STATES, size=(STATES, JOINT)),
        rng.random((2, STATES, JOINT)),
        np.full(STATES, 1 / STATES),
        ACTIONS,
        horizon=None if discount else HORIZON,
        discount=discount,
        legal=legal,
        state_names=[f"room {s}" for s in range(STATES)],
        agent_names=["Ada", "Bob"],
    )


def features(*lead: int) -> Any:
    return np.random.default_rng(1).normal(size=(*lead, STATES, WIDTH))


def softmax(x: Any) -> Any:
    weights = np.exp(x - x.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def linear(size: int, seed: int = 2) -> Any:
    return np.random.default_rng(seed).normal(size=(WIDTH, size))


class Heads(torch.nn.Module):  # type: ignore[misc]
    """A body and one head for each agent, with dropout, which evaluation switches off."""

    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(WIDTH, 16), torch.nn.Tanh(), torch.nn.Dropout(0.5))
        self.heads = torch.nn.ModuleList(torch.nn.Linear(16, n) for n in ACTIONS)

    def forward(self, x: Any) -> tuple[Any, ...]:
        hidden = self.body(x)
        return tuple(head(hidden) for head in self.heads)


def test_logits_of_any_function() -> None:
    weights = linear(JOINT)
    policy = tabulate(make_game(), lambda x: x @ weights, features(), outputs="logits")
    np.testing.assert_allclose(policy.probabilities, softmax(features() @ weights), rtol=1e-14)
    shaped = tabulate(make_game(), lambda x: (x @ weights).reshape(-1, *ACTIONS), features(), outputs="logits")
    np.testing.assert_array_equal(policy.probabilities, shaped.probabilities)


def test_a_tuple_or_a_list_of_agents_is_a_product() -> None:
    weights: list[Any] = [linear(n, seed) for seed, n in enumerate(ACTIONS)]
    own = [softmax(features() @ w) for w in weights]
    expected = mo.CorrelatedPolicy.product(own).probabilities
    together = tabulate(make_game(), lambda x: tuple(softmax(x @ w) for w in weights), features())

    def model_of(w: Any) -> Callable[[Any], Any]:
        return lambda x: softmax(x @ w)

    models = [model_of(w) for w in weights]
    apart = tabulate(make_game(), models, features())
    each = tabulate(make_game(), models, [features(), features()])
    for policy in (together, apart, each):
        np.testing.assert_allclose(policy.probabilities, expected, rtol=1e-14)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_batches_and_steps(batch_size: int) -> None:
    weights, sizes = linear(JOINT), []

    def model(x: Any) -> Any:
        sizes.append(len(x))
        return softmax(x @ weights)

    policy = tabulate(make_game(), model, features(HORIZON), stationary=False, batch_size=batch_size)
    np.testing.assert_allclose(policy.probabilities, softmax(features(HORIZON) @ weights), rtol=1e-14)
    assert max(sizes) == min(batch_size, STATES)
    assert sum(sizes) == HORIZON * STATES


def test_nobody_is_asked_where_there_is_no_choice() -> None:
    game, seen = make_game(masked=True), []

    def model(x: Any) -> Any:
        seen.append(x)
        return np.zeros((len(x), JOINT))

    inputs = features()
    inputs[-1] = np.nan
    policy = tabulate(game, model, inputs, outputs="logits", illegal="mask")
    assert not np.isnan(np.concatenate(seen)).any()
    np.testing.assert_allclose(policy.probabilities, mo.CorrelatedPolicy.uniform(game).probabilities, rtol=1e-15)
    heads = tabulate(
        game, lambda x: (np.zeros((len(x), 2)), np.zeros((len(x), 3))), inputs, outputs="logits", illegal="mask"
    )
    np.testing.assert_allclose(heads.probabilities, policy.probabilities, rtol=1e-15)


def test_features_that_are_missing_are_told() -> None:
    inputs = features()
    inputs[3, 1] = np.nan
    with pytest.raises(errors.PolicyNumber, match=r"state 3 \(room 3\): the features hold NaN"):
        tabulate(make_game(), lambda x: softmax(x @ linear(JOINT)), inputs)


def test_an_agent_without_a_choice_may_be_told_anything() -> None:
    game = make_game(masked=True)

    def model(x: Any) -> Any:
        own = np.full((len(x), 2), 0.5)
        own[:, 0], own[:, 1] = 1.0, 0.0  # illegal for Ada in state 1, where she has one action
        other = np.tile([0.5, 0.0, 0.5], (len(x), 1))
        return own, other

    policy = tabulate(game, model, features())
    assert policy.marginal(0, game)[1].tolist() == [0.0, 1.0]


def test_masks_condition_on_legal_actions() -> None:
    game, weights = make_game(masked=True), linear(JOINT)
    raw = softmax(features() @ weights)
    kept = np.where(game.joint_legal, raw, 0.0)
    expected = kept / kept.sum(axis=1, keepdims=True)
    for outputs, model in (("logits", lambda x: x @ weights), ("probabilities", lambda x: softmax(x @ weights))):
        policy = tabulate(game, model, features(), outputs=outputs, illegal="mask")  # type: ignore[arg-type]
        np.testing.assert_allclose(policy.probabilities, expected, rtol=1e-12)
        with pytest.raises(errors.IllegalAction, match=r"state 1 \(room 1\), joint action \(0, 0\).*illegal='mask'"):
            tabulate(game, model, features(), outputs=outputs)  # type: ignore[arg-type]
    with np.errstate(divide="ignore"):
        infinite = tabulate(game, lambda x: np.log(expected[: len(x)]), features(), outputs="logits")
    np.testing.assert_allclose(infinite.probabilities[:-1], expected[:-1], rtol=1e-12)


@pytest.mark.parametrize(
    ("answer", "options", "error", "message"),
    [
        (
            lambda p: np.where(p == p[3, 2], np.nan, p),
            {},
            errors.PolicyNumber,
            r"state 3 \(room 3\), .*: nan is no prob",
        ),
        (lambda p: p - 0.5, {}, errors.PolicyNumber, "is no probability"),
        (
            lambda p: p * np.linspace(1, 1 + 1e-6, STATES)[:, None],
            {},
            errors.PolicyDistribution,
            r"state 1 .*1e-09.*logits",
        ),
        (lambda p: p.astype(np.float32) * np.float32(1.001), {}, errors.PolicyDistribution, "within 1e-05"),
        (lambda p: p[:, :-1], {}, errors.PolicyShape, r"expected numbers of shape \(7, 6\) or \(7, 2, 3\)"),
        (lambda p: p[0], {}, errors.PolicyShape, r"shape \(6,\)"),
        (lambda p: [["a"] * 6] * 7, {}, errors.PolicyShape, "dtype <U1"),
        (lambda p: (p,), {}, errors.PolicyShape, "expected a tuple of 2 arrays"),
        (lambda p: (p[:, :2], p[:, :3]), {}, errors.PolicyDistribution, r"state 0 \(room 0\), Ada"),
        (lambda p: np.where(p == p[3, 2], np.inf, p), {"outputs": "logits"}, errors.PolicyNumber, "inf is no logit"),
        (
            lambda p: np.full_like(p, -np.inf),
            {"outputs": "logits"},
            errors.IllegalAction,
            "no probability to any action",
        ),
    ],
)
def test_answers_that_are_no_policy(answer: Any, options: Any, error: type[Exception], message: str) -> None:
    probabilities = softmax(features() @ linear(JOINT))
    with pytest.raises(error, match=message):
        tabulate(make_game(), lambda x: answer(probabilities), features(), **options)


@pytest.mark.parametrize("batch_size", [2, 7])
def test_a_list_of_heads_is_not_taken_for_joint_actions(batch_size: int) -> None:
    square = mo.MarkovGame(
        np.zeros((STATES, 4), dtype=int), np.zeros((2, STATES, 4)), np.eye(STATES)[0], (2, 2), horizon=1
    )
    heads: list[Any] = [linear(2, 0), linear(2, 1)]
    policy = tabulate(square, lambda x: tuple(x @ w for w in heads), features(), outputs="logits")
    expected = mo.CorrelatedPolicy.product([softmax(features() @ w) for w in heads])
    np.testing.assert_allclose(policy.probabilities, expected.probabilities, rtol=1e-14)
    # of two states, two heads of two actions have the shape of two joint tables
    with pytest.raises(errors.PolicyShape, match=r"state 0 .*a list of arrays; make it a tuple"):
        tabulate(square, lambda x: [x @ w for w in heads], features(), outputs="logits", batch_size=batch_size)
    rows = tabulate(square, lambda x: [np.full(4, 0.25) for _ in x], features())  # one row for each state is no head
    np.testing.assert_array_equal(rows.probabilities, np.full((STATES, 4), 0.25))


def test_nobody_has_a_choice_anywhere() -> None:
    game = mo.MarkovGame(np.zeros((1, 1), dtype=int), np.zeros((2, 1, 1)), [1.0], (1, 1), horizon=3)
    asked: list[Any] = []
    for stationary, shape in ((True, (1, 1)), (False, (3, 1, 1))):
        inputs = np.full((1, 2) if stationary else (3, 1, 2), np.nan)
        policy = tabulate(game, asked.append, inputs, stationary=stationary)
        np.testing.assert_array_equal(policy.probabilities, np.ones(shape))
    assert not asked


@pytest.mark.parametrize("model", [LogisticRegression(), RandomForestClassifier(), None, "model"])
def test_what_is_no_function(model: Any) -> None:
    with pytest.raises(errors.InvalidPolicy, match=f"a {type(model).__name__} is no function; see from_torch"):
        tabulate(make_game(), model, features())


def test_a_tensor_with_gradients_is_a_typed_error() -> None:
    network = torch.nn.Linear(WIDTH, JOINT, dtype=torch.float64)
    with pytest.raises(errors.PolicyShape, match=r"state 0 \(room 0\) and 6 others: the Tensor .*detach"):
        tabulate(make_game(), lambda x: network(torch.as_tensor(x)), features(), outputs="logits")


def test_steps_are_named() -> None:
    def model(x: Any) -> Any:
        model.calls += 1  # type: ignore[attr-defined]
        return np.full((len(x), JOINT), 1 / 6 if model.calls < 3 else 0.2)  # type: ignore[attr-defined]

    model.calls = 0  # type: ignore[attr-defined]
    with pytest.raises(errors.PolicyDistribution, match=r"model, step 2, state 0 \(room 0\)"):
        tabulate(make_game(), model, features(HORIZON), stationary=False)


def test_nothing_legal_is_left() -> None:
    game = make_game(masked=True)
    with pytest.raises(errors.IllegalAction, match=r"state 1 .*no probability to any legal action"):
        tabulate(game, lambda x: np.tile(np.eye(6)[0], (len(x), 1)), features(), illegal="mask")


def test_options_and_inputs() -> None:
    game, weights = make_game(), linear(JOINT)

    def model(x: Any) -> Any:
        return softmax(x @ weights)

    with pytest.raises(errors.InvalidOption, match="outputs is 'scores'"):
        tabulate(game, model, features(), outputs="scores")  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidOption, match="illegal is 'drop'"):
        tabulate(game, model, features(), illegal="drop")  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidOption, match="discounted"):
        tabulate(make_game(discount=0.9), model, features(HORIZON), stationary=False)
    with pytest.raises(errors.PolicyShape, match=r"shape \(6, 5\)"):
        tabulate(game, model, features()[:-1])
    with pytest.raises(errors.PolicyShape, match=r"\(H, S, \.\.\) with \(4, 7\)"):
        tabulate(game, model, features(), stationary=False)
    with pytest.raises(errors.PolicyShape, match="1 models are given for 2 agents"):
        tabulate(game, [model], features())
    with pytest.raises(errors.PolicyShape, match="3 arrays of features"):
        tabulate(game, [model, model], [features()] * 3)
    with pytest.raises(errors.InvalidPolicy, match=r"the model raised .*from_torch"):
        tabulate(game, torch.nn.Linear(WIDTH, JOINT), features())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_torch(dtype: Any) -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(WIDTH, 8), torch.nn.ReLU(), torch.nn.Linear(8, JOINT)).to(dtype)
    policy = tabulate(make_game(), from_torch(network), features(), outputs="logits")
    with torch.no_grad():
        logits = network(torch.as_tensor(features(), dtype=dtype)).double().numpy()
    np.testing.assert_allclose(policy.probabilities, softmax(logits), rtol=1e-12)
    if dtype is torch.float32:
        direct = tabulate(make_game(), from_torch(torch.nn.Sequential(network, torch.nn.Softmax(dim=1))), features())
        np.testing.assert_allclose(direct.probabilities, policy.probabilities, rtol=1e-5)


def test_torch_probabilities_of_half_precision() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(WIDTH, JOINT), torch.nn.Softmax(dim=1)).half()
    policy = tabulate(make_game(), from_torch(network), features())
    with torch.no_grad():
        raw = network(torch.as_tensor(features(), dtype=torch.float16)).double().numpy()
    sums = raw.sum(axis=1, keepdims=True)
    assert np.abs(sums - 1).max() > 1e-5  # too far off for single precision
    np.testing.assert_allclose(policy.probabilities, raw / sums, rtol=1e-14)


def test_torch_without_parameters_reads_the_features_as_they_are() -> None:
    class Last(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return x

    inputs = np.random.default_rng(5).normal(size=(STATES, JOINT))
    policy = tabulate(make_game(), from_torch(Last()), inputs, outputs="logits")
    np.testing.assert_allclose(policy.probabilities, softmax(inputs), rtol=1e-14)
    words = tabulate(make_game(), from_torch(torch.nn.Embedding(STATES, JOINT)), np.arange(STATES), outputs="logits")
    assert words.probabilities.shape == (STATES, JOINT)  # integers stay integers


def test_torch_heads_and_modes() -> None:
    torch.manual_seed(0)
    network = Heads()
    network.body.eval()
    modes = [part.training for part in network.modules()]
    assert len(set(modes)) == 2
    network.body[2].train()
    modes = [part.training for part in network.modules()]
    policy = tabulate(make_game(), from_torch(network), features(), outputs="logits")
    assert [part.training for part in network.modules()] == modes
    network.eval()
    with torch.no_grad():
        own = [softmax(x.double().numpy()) for x in network(torch.as_tensor(features(), dtype=torch.float32))]
    np.testing.assert_allclose(policy.probabilities, mo.CorrelatedPolicy.product(own).probabilities, rtol=1e-12)
    with pytest.raises(errors.InvalidPolicy, match="no torch"):
        from_torch(lambda x: x)


def data(count: int, actions: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    return rng.normal(size=(count, WIDTH)), rng.integers(actions, size=count)


@pytest.mark.parametrize(
    "classifier",
    [
        LogisticRegression(),
        DecisionTreeClassifier(max_depth=3, random_state=0),
        MLPClassifier((8,), max_iter=50, random_state=0),
    ],
    ids=lambda c: type(c).__name__,
)
def test_sklearn(classifier: Any) -> None:
    inputs, labels = data(200, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged
        classifier.fit(inputs, np.array([0, 2, 5])[labels])  # three of the joint actions were never shown
    policy = tabulate(make_game(), from_sklearn(classifier, JOINT), features())
    np.testing.assert_allclose(policy.probabilities[:, [0, 2, 5]], classifier.predict_proba(features()), rtol=1e-12)
    assert not policy.probabilities[:, [1, 3, 4]].any()


def test_sklearn_of_several_outputs() -> None:
    inputs, _ = data(200, 2)
    labels = np.random.default_rng(4).integers(ACTIONS, size=(200, 2))
    classifier = MultiOutputClassifier(LogisticRegression()).fit(inputs, labels)
    policy = tabulate(make_game(), from_sklearn(classifier, ACTIONS), features())
    expected = mo.CorrelatedPolicy.product(classifier.predict_proba(features()))
    np.testing.assert_allclose(policy.probabilities, expected.probabilities, rtol=1e-12)
    with pytest.raises(errors.PolicyShape, match=r"has 2 outputs; give a list .*, not \(2, 3, 4\)"):
        from_sklearn(classifier, (2, 3, 4))
    with pytest.raises(errors.PolicyShape, match=r"2 outputs; .*, not 6"):
        from_sklearn(classifier, 6)
    with pytest.raises(errors.PolicyShape, match=r"one output; give one number of actions, not \(2, 3\)"):
        from_sklearn(LogisticRegression().fit(inputs, labels[:, 0]), ACTIONS)
    by_array = tabulate(make_game(), from_sklearn(classifier, np.array(ACTIONS)), features())
    np.testing.assert_array_equal(by_array.probabilities, policy.probabilities)


def test_classifiers_that_are_no_policies() -> None:
    inputs, labels = data(50, 6)
    with pytest.raises(errors.InvalidPolicy, match="has no predict_proba"):
        from_sklearn(object(), 6)
    alone = MLPClassifier((2,), solver="lbfgs").fit(inputs, np.zeros(50, dtype=int))
    with pytest.raises(errors.PolicyShape, match=r"shape \(7, 2\) for 1 classes"):
        tabulate(make_game(), from_sklearn(alone, JOINT), features())
    with pytest.raises(errors.InvalidPolicy, match="was not fitted"):
        from_sklearn(LogisticRegression(), 6)
    with pytest.raises(errors.PolicyShape, match="integers 0 to 3"):
        from_sklearn(DecisionTreeClassifier().fit(inputs, labels), 4)
    with pytest.raises(errors.PolicyShape, match="they must be actions"):
        from_sklearn(DecisionTreeClassifier().fit(inputs, [f"a{k}" for k in labels]), 6)


class Rooms(gymnasium.Env):  # type: ignore[misc]
    """Something for stable-baselines3 to be made for."""

    def __init__(self, actions: Any, observations: Any = None) -> None:
        self.observation_space = observations or gymnasium.spaces.Box(-9, 9, (WIDTH,), dtype=np.float64)
        self.action_space = actions

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        return self.observation_space.sample(), 0.0, False, False, {}


def test_stable_baselines3_of_joint_actions() -> None:
    model = stable_baselines3.PPO(
        "MlpPolicy", Rooms(gymnasium.spaces.Discrete(JOINT)), seed=0, n_steps=16, batch_size=16
    )
    model.learn(32)
    policy = tabulate(make_game(), from_stable_baselines3(model), features())
    observations, _ = model.policy.obs_to_tensor(features())
    with torch.no_grad():
        expected = model.policy.get_distribution(observations).distribution.probs.double().numpy()
    np.testing.assert_allclose(policy.probabilities, expected, rtol=1e-6)
    frequencies = np.bincount([int(model.predict(features()[2])[0]) for _ in range(2000)], minlength=JOINT) / 2000
    assert np.abs(frequencies - policy.probabilities[2]).max() < 0.06  # what it plays


def test_stable_baselines3_of_agents_and_of_values() -> None:
    model = stable_baselines3.A2C("MlpPolicy", Rooms(gymnasium.spaces.MultiDiscrete(ACTIONS)), seed=0)
    policy = tabulate(make_game(), from_stable_baselines3(model.policy), features())
    observations, _ = model.policy.obs_to_tensor(features())
    parts = model.policy.get_distribution(observations).distribution
    expected = mo.CorrelatedPolicy.product(
        [(p := part.probs.detach().double().numpy()) / p.sum(1, keepdims=True) for part in parts]
    )
    np.testing.assert_allclose(policy.probabilities, expected.probabilities, rtol=1e-6)
    greedy = stable_baselines3.DQN("MlpPolicy", Rooms(gymnasium.spaces.Discrete(JOINT)), seed=0, buffer_size=9)
    policy = tabulate(make_game(), from_stable_baselines3(greedy), features())
    expected_actions = [int(greedy.predict(x, deterministic=True)[0]) for x in features()]
    np.testing.assert_array_equal(policy.probabilities, np.eye(JOINT)[expected_actions])
    with pytest.raises(errors.InvalidPolicy, match="Box"):
        from_stable_baselines3(stable_baselines3.PPO("MlpPolicy", Rooms(gymnasium.spaces.Box(0, 1, (2,)))))
    with pytest.raises(errors.InvalidPolicy, match="a str"):
        from_stable_baselines3("model")


def test_stable_baselines3_of_numbered_states() -> None:
    rooms = Rooms(gymnasium.spaces.Discrete(JOINT), gymnasium.spaces.Discrete(STATES))
    model = stable_baselines3.A2C("MlpPolicy", rooms, seed=0)
    policy = tabulate(make_game(), from_stable_baselines3(model), np.arange(STATES))
    for s in range(STATES):
        alone = model.policy.get_distribution(model.policy.obs_to_tensor(s)[0]).distribution.probs[0]
        np.testing.assert_allclose(policy.probabilities[s], alone.detach().numpy(), rtol=1e-5)
    assert np.ptp(policy.probabilities, axis=0).max() > 1e-3  # it tells the states apart
    with pytest.raises(errors.PolicyNumber, match=r"state 0 \(room 0\) .*reads int64; the features hold 0\.5"):
        tabulate(make_game(), from_stable_baselines3(model), np.arange(STATES) + 0.5)
    both = gymnasium.spaces.Dict(a=gymnasium.spaces.Box(0, 1, (2,)))
    model = stable_baselines3.A2C("MultiInputPolicy", Rooms(gymnasium.spaces.Discrete(JOINT), both))
    with pytest.raises(errors.InvalidPolicy, match="the model observes Dict"):
        from_stable_baselines3(model)


def linear_onnx(weights: Any, names: list[str]) -> bytes:
    """An ONNX graph x -> x W_k for each name."""
    nodes = [onnx.helper.make_node("MatMul", ["x", f"w{k}"], [name]) for k, name in enumerate(names)]
    graph = onnx.helper.make_graph(
        nodes,
        "policy",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", WIDTH])],
        [
            onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["batch", w.shape[1]])
            for n, w in zip(names, weights, strict=True)
        ],
        [onnx.numpy_helper.from_array(w.astype(np.float32), f"w{k}") for k, w in enumerate(weights)],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def test_onnx(tmp_path: Path) -> None:
    weights = [linear(JOINT)]
    content = linear_onnx(weights, ["logits"])
    (tmp_path / "policy.onnx").write_bytes(content)
    expected = softmax(features().astype(np.float32) @ weights[0].astype(np.float32))
    for source in (
        content,
        tmp_path / "policy.onnx",
        str(tmp_path / "policy.onnx"),
        onnxruntime.InferenceSession(content),
    ):
        policy = tabulate(make_game(), from_onnx(source), features(), outputs="logits")
        np.testing.assert_allclose(policy.probabilities, expected, rtol=1e-5)
    heads = linear_onnx([linear(2), linear(3)], ["ada", "bob"])
    policy = tabulate(make_game(), from_onnx(heads), features(), outputs="logits")
    own = [softmax(features() @ linear(n)) for n in ACTIONS]
    np.testing.assert_allclose(policy.probabilities, mo.CorrelatedPolicy.product(own).probabilities, rtol=1e-5)
    one = from_onnx(heads, "bob")(features())
    assert one.shape == (STATES, 3)


def test_onnx_of_integers() -> None:
    weights = linear(JOINT).astype(np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Gather", ["w", "x"], ["y"])],
        "policy",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.INT64, ["batch"])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", JOINT])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    numbers = np.arange(STATES) % WIDTH
    policy = tabulate(make_game(), from_onnx(model.SerializeToString()), numbers.astype(float), outputs="logits")
    np.testing.assert_allclose(policy.probabilities, softmax(weights[numbers].astype(float)), rtol=1e-12)
    for wrong in (0.5, np.nan, 1e30):
        inputs = numbers.astype(float)
        inputs[2] = wrong
        told = "the features hold NaN" if np.isnan(wrong) else f"reads int64; the features hold {wrong}"
        with pytest.raises(errors.PolicyNumber, match=re.escape(told)):
            tabulate(make_game(), from_onnx(model.SerializeToString()), inputs, outputs="logits")


def test_onnx_of_sklearn() -> None:
    inputs, labels = data(300, JOINT)
    classifier = LogisticRegression().fit(inputs, labels)
    exported = skl2onnx.to_onnx(classifier, inputs[:1].astype(np.float32), options={"zipmap": False}, target_opset=17)
    policy = tabulate(make_game(), from_onnx(exported.SerializeToString()), features())
    np.testing.assert_allclose(policy.probabilities, classifier.predict_proba(features()), rtol=1e-5)
    zipped = skl2onnx.to_onnx(classifier, inputs[:1].astype(np.float32), target_opset=17)
    with pytest.raises(errors.InvalidPolicy, match="zipmap=False"):
        from_onnx(zipped.SerializeToString())
    with pytest.raises(errors.InvalidPolicy, match=r"asked for are \['nothing'\]"):
        from_onnx(exported.SerializeToString(), "nothing")
    with pytest.raises(errors.InvalidPolicy, match="onnxruntime cannot load"):
        from_onnx(b"no model")


def test_frameworks_are_imported_only_when_used(monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "import sys, mailopt.interop.learned; sys.exit(bool({'torch', 'sklearn', 'onnxruntime'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    network = torch.nn.Linear(1, 1)
    for name in ("torch", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(errors.MissingDependency, match=r"PyTorch is not installed: pip install 'mailopt\[learned\]'"):
        from_torch(network)
    with pytest.raises(
        errors.MissingDependency, match=r"onnxruntime is not installed: pip install 'mailopt\[learned\]'"
    ):
        from_onnx(b"")
