"""Pictures are drawn and saved, and say what is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

import mailopt as mo

EXAMPLE = Path(__file__).parent.parent / "examples" / "value_is_easy_regret_is_hard.py"


def results() -> list[mo.Imitation]:
    chain = mo.scenarios.aliased_chain(4, coverage=0.2)
    shown = mo.Demonstrations.from_policy(chain.game, chain.expert)
    aliased = mo.policy_classes.Aggregated(chain.labels or ())
    return [
        mo.behavior_cloning(chain.game, shown),
        mo.malice(chain.game, shown, policy_class=aliased, rule="hedge", rounds=5),
        mo.blades(chain.game, chain.expert, per_round=1),
    ]


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_learning_curves_are_saved(tmp_path: Path, suffix: str) -> None:
    for k, result in enumerate(results()):
        path = tmp_path / f"{k}{suffix}"
        figure = result.plot(path)
        assert path.stat().st_size > 1000
        (axes,) = figure.axes
        legend = axes.get_legend()
        assert legend is not None
        labels = [text.get_text() for text in legend.get_texts()]
        assert "regret gap" in labels
        assert any("loss" in label for label in labels)
        assert axes.get_xlabel() == ("queries to the expert" if result.algorithm == "BLADES" else "round")


def test_averages_stand_where_their_round_is() -> None:
    _, hedge, _ = results()
    lines = {line.get_label(): line for line in hedge.plot().axes[0].lines}
    averages = [found for found in hedge.history if found.kind == "average"]
    drawn = lines["deviation-weighted loss, average"]
    assert np.asarray(drawn.get_xdata()).tolist() == [found.index for found in averages]
    assert np.asarray(drawn.get_ydata()).tolist() == [found.loss for found in averages]


def test_a_missing_matplotlib_is_named() -> None:
    result = results()[0]
    hidden = dict.fromkeys(("matplotlib", "matplotlib.figure"))
    with mock.patch.dict(sys.modules, hidden), pytest.raises(mo.errors.MissingDependency, match=r"mailopt\[plot\]"):
        result.plot()


def test_the_example_draws_its_figure(tmp_path: Path) -> None:
    path = tmp_path / "figure.png"
    subprocess.run([sys.executable, str(EXAMPLE), str(path)], check=True, capture_output=True)
    assert path.stat().st_size > 10_000
