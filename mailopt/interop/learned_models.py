"""Models of frameworks as functions from an array of features to arrays of numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mailopt.errors import InvalidPolicy, MissingDependency, PolicyNumber, PolicyShape

_Array = npt.NDArray[Any]


def from_torch(module: Any) -> Callable[[_Array], Any]:
    """Turn a PyTorch module into a function of arrays.

    It is called in evaluation mode and without gradients; afterwards its parts are in the mode in which they were.

    Parameters
    ----------
    module
        A ``torch.nn.Module`` that takes a tensor (B, ..) and returns one, or a tuple or list of them, one for each
        agent. Floating-point features are converted to the type and the device of its parameters. Answers in
        ``bfloat16``, which numpy lacks, are passed on in single precision: their logits are as good as others, their
        probabilities may sum to one too badly.

    Returns
    -------
    Callable
        What :func:`~mailopt.interop.learned.tabulate` asks.

    Raises
    ------
    InvalidPolicy
        This is no module.
    MissingDependency
        PyTorch is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> import mailopt as mo
    >>> from mailopt.interop.learned import from_torch, tabulate
    >>> chicken, network = mo.scenarios.chicken(), torch.nn.Linear(1, 4)
    >>> _ = torch.nn.init.zeros_(network.weight), torch.nn.init.zeros_(network.bias)
    >>> tabulate(chicken, from_torch(network), np.ones((1, 1)), outputs="logits").probabilities
    array([[0.25, 0.25, 0.25, 0.25]])
    """
    try:
        import torch  # noqa: PLC0415 - optional
    except ImportError as error:
        raise MissingDependency("PyTorch is not installed: pip install 'mailopt[learned]'") from error
    if not isinstance(module, torch.nn.Module):
        raise InvalidPolicy(f"a {type(module).__name__} is no torch.nn.Module")

    def ask(features: _Array) -> Any:
        inputs = torch.as_tensor(np.ascontiguousarray(features))
        for weights in itertools.islice(module.parameters(), 1):  # a module may have none
            inputs = inputs.to(weights.device, weights.dtype if inputs.is_floating_point() else None)
        modes = [(part, part.training) for part in module.modules()]
        module.eval()
        try:
            with torch.no_grad():
                answer = module(inputs)
        finally:
            for part, training in modes:
                part.training = training
        return _arrays(answer)

    return ask


def from_sklearn(classifier: Any, num_actions: int | Sequence[int] | _Array) -> Callable[[_Array], Any]:
    """Turn a scikit-learn classifier of actions into a function of arrays.

    Parameters
    ----------
    classifier
        Anything fitted that has ``predict_proba`` and ``classes_``; its classes are flat joint actions, or an agent's
        actions. A classifier of several outputs has one for each agent. A class that it never saw has probability 0.
    num_actions
        Number of actions that there are: A, n_i, or for several outputs all n_i.

    Returns
    -------
    Callable
        What :func:`~mailopt.interop.learned.tabulate` asks.

    Raises
    ------
    InvalidPolicy
        It has no ``predict_proba``, or was not fitted.
    PolicyShape
        Its classes are not among the actions.

    Examples
    --------
    >>> import numpy as np
    >>> import mailopt as mo
    >>> from sklearn.dummy import DummyClassifier
    >>> from mailopt.interop.learned import from_sklearn, tabulate
    >>> chicken = mo.scenarios.chicken()
    >>> classifier = DummyClassifier(strategy="prior").fit(np.ones((4, 1)), [1, 2, 2, 2])
    >>> tabulate(chicken, from_sklearn(classifier, 4), np.ones((1, 1))).probabilities
    array([[0.  , 0.25, 0.75, 0.  ]])
    """
    if not hasattr(classifier, "predict_proba"):
        raise InvalidPolicy(
            f"a {type(classifier).__name__} has no predict_proba; some classifiers need an option for it"
        )
    if not hasattr(classifier, "classes_"):
        raise InvalidPolicy(f"the {type(classifier).__name__} was not fitted; it has no classes_")
    several, outputs = np.ndim(num_actions) > 0, isinstance(classifier.classes_, list)
    counts = [int(n) for n in np.atleast_1d(num_actions)]
    labels = classifier.classes_ if outputs else [classifier.classes_]
    if several != outputs or len(labels) != len(counts):
        raise PolicyShape(
            f"the classifier has {len(labels) if outputs else 'one'} output{'s' * outputs}; give "
            f"{'a list with the number of actions of each' if outputs else 'one number of actions'}, not {num_actions}"
        )
    for classes, count in zip(labels, counts, strict=True):
        known: _Array = np.asarray(classes)
        if known.dtype.kind not in "iu" or known.ndim != 1 or known.min() < 0 or known.max() >= count:
            raise PolicyShape(f"the classes are {list(known)[:9]}; they must be actions, integers 0 to {count - 1}")

    def ask(features: _Array) -> Any:
        found = classifier.predict_proba(features)
        answers = found if several else [found]
        tables = []
        for classes, count, answer in zip(labels, counts, answers, strict=True):
            if np.shape(answer) != (len(features), len(classes)):
                raise PolicyShape(
                    f"predict_proba returned shape {np.shape(answer)} for {len(classes)} classes and {len(features)} "
                    "states; some classifiers do where they were shown one class only"
                )
            table = np.zeros((len(features), count), dtype=np.asarray(answer).dtype)
            table[:, np.asarray(classes)] = answer
            tables.append(table)
        return tuple(tables) if several else tables[0]

    return ask


def from_stable_baselines3(model: Any) -> Callable[[_Array], Any]:
    """Turn a stable-baselines3 model into a function of arrays.

    A ``Discrete`` action space is that of flat joint actions, or of one agent's actions; ``MultiDiscrete`` has one
    component for each agent, who act independently. A model that picks the action of the highest value (DQN) plays it
    with probability 1.

    Parameters
    ----------
    model
        An algorithm such as ``PPO`` or ``DQN``, or its ``policy``. Features are what it observes, as an array, after
        wrappers such as ``VecNormalize``.

    Returns
    -------
    Callable
        What :func:`~mailopt.interop.learned.tabulate` asks.

    Raises
    ------
    InvalidPolicy
        This is no such model, its action space is another, or it observes a dictionary.

    Examples
    --------
    >>> import numpy as np
    >>> from stable_baselines3 import PPO
    >>> from mailopt.interop.learned import from_stable_baselines3
    >>> from_stable_baselines3(PPO("MlpPolicy", "CartPole-v1", seed=0))(np.zeros((1, 4)))
    array([[0.5, 0.5]], dtype=float32)
    """
    policy = getattr(model, "policy", model)
    space = type(getattr(policy, "action_space", None)).__name__
    if space not in ("Discrete", "MultiDiscrete") or not hasattr(policy, "obs_to_tensor"):
        raise InvalidPolicy(
            f"a {type(model).__name__} with action space {getattr(policy, 'action_space', None)} is no "
            "stable-baselines3 model with a Discrete or MultiDiscrete action space"
        )

    dtype = policy.observation_space.dtype
    if dtype is None:
        raise InvalidPolicy(f"the model observes {policy.observation_space}; features are one array")

    def ask(features: _Array) -> Any:
        observed = _cast(features, dtype)
        training = policy.training
        policy.set_training_mode(False)
        try:
            observations, _ = policy.obs_to_tensor(observed)
            if hasattr(policy, "q_net"):
                values = policy.q_net(observations).detach().cpu().numpy()
                return np.eye(values.shape[1])[values.argmax(axis=1)]
            found = policy.get_distribution(observations).distribution
        finally:
            policy.set_training_mode(training)
        return _arrays([part.probs for part in found] if isinstance(found, list) else found.probs)

    return ask


def from_onnx(source: Any, outputs: str | Sequence[str] | None = None) -> Callable[[_Array], Any]:
    """Turn an ONNX model into a function of arrays; onnxruntime runs it.

    Parameters
    ----------
    source
        Path of an ``.onnx`` file, its bytes, or an ``onnxruntime.InferenceSession``. It has one input, (B, ..).
    outputs
        Name of the output with the numbers, or names, one for each agent. None: the outputs that are floating-point
        arrays; labels, which classifiers return beside, are left out.

    Returns
    -------
    Callable
        What :func:`~mailopt.interop.learned.tabulate` asks.

    Raises
    ------
    InvalidPolicy
        The file cannot be loaded; the model has several inputs, no such output, or no output of floating-point numbers.
    MissingDependency
        onnxruntime is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> import mailopt as mo
    >>> import skl2onnx
    >>> from sklearn.linear_model import LogisticRegression
    >>> from mailopt.interop.learned import from_onnx, tabulate
    >>> classifier = LogisticRegression().fit([[0.0], [1.0], [2.0]], [0, 1, 2])
    >>> example, options = np.zeros((1, 1), dtype=np.float32), {"zipmap": False}
    >>> exported = skl2onnx.to_onnx(classifier, example, options=options, target_opset=17)
    >>> game = mo.MarkovGame.from_normal_form([[1, 0, 2]])
    >>> tabulate(game, from_onnx(exported.SerializeToString()), np.ones((1, 1))).probabilities.round(2)
    array([[0.32, 0.36, 0.32]])
    """
    session = source if hasattr(source, "get_inputs") else _session(source)
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type not in _ONNX_TYPES:
        raise InvalidPolicy(
            f"the ONNX model reads {[(i.name, i.type) for i in inputs]}; it must read one array of numbers"
        )
    numbers = [
        o.name for o in session.get_outputs() if o.type in ("tensor(float)", "tensor(double)", "tensor(float16)")
    ]
    names = numbers if outputs is None else [outputs] if isinstance(outputs, str) else list(outputs)
    if not names or not set(names) <= set(numbers):
        raise InvalidPolicy(
            f"the ONNX model has the outputs {[(o.name, o.type) for o in session.get_outputs()]}, asked for are "
            f"{names}; these must be arrays of floating-point numbers (for skl2onnx: options zipmap=False)"
        )
    name, dtype = inputs[0].name, _ONNX_TYPES[inputs[0].type]

    def ask(features: _Array) -> Any:
        found = session.run(names, {name: np.ascontiguousarray(_cast(features, dtype))})
        return found[0] if len(found) == 1 else tuple(found)

    return ask


_ONNX_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}


def _session(source: Any) -> Any:
    try:
        import onnxruntime  # noqa: PLC0415 - optional
    except ImportError as error:
        raise MissingDependency("onnxruntime is not installed: pip install 'mailopt[learned]'") from error
    given = str(source) if isinstance(source, str | Path) else source
    try:
        return onnxruntime.InferenceSession(given, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise InvalidPolicy(f"onnxruntime cannot load {source!r:.80}: {error}") from error


def _cast(features: _Array, dtype: Any) -> _Array:
    """Features in the type that a model reads; what it reads as integers must be integers."""
    with np.errstate(invalid="ignore"):  # NaN, which the comparison finds
        cast: _Array = np.asarray(features).astype(dtype)
    if cast.dtype.kind in "iub" and not np.array_equal(cast, features):
        bad = np.asarray(features)[cast != features]
        raise PolicyNumber(f"the model reads {cast.dtype}; the features hold {bad[0]}, which is none")
    return cast


def _arrays(answer: Any) -> Any:
    """Tensors as arrays."""
    if isinstance(answer, list | tuple):
        return tuple(_array(part) for part in answer)
    return _array(answer)


def _array(tensor: Any) -> Any:
    found = tensor.detach().cpu()
    return (found.float() if str(found.dtype) == "torch.bfloat16" else found).numpy()  # numpy has no bfloat16
