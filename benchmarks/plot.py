"""The plot: one panel of bars per scenario, as PNG and as SVG."""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.report import Result
from benchmarks.rows import ROWS, SCENARIOS

BAR_INCHES = 0.28
PANEL_INCHES = 1.2  # of a panel without a bar: its title and its axis
WIDTH_INCHES = 9
OURS, OTHERS = "#b5482f", "#8a97a6"


def is_possible() -> bool:
    """Say whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def write(path: Path, results: Sequence[Result], caption: str) -> list[Path]:
    """Draw *results* and return the two files: *path* with the suffixes .png and .svg."""
    import_module("matplotlib").use("Agg")
    pyplot: Any = import_module("matplotlib.pyplot")
    names = list(dict.fromkeys(result.scenario for result in results))
    panels = [[one for one in results if one.scenario == name] for name in names]
    heights = [PANEL_INCHES + BAR_INCHES * len(panel) for panel in panels]
    figure, axes = pyplot.subplots(
        len(panels),
        figsize=(WIDTH_INCHES, sum(heights) + PANEL_INCHES / 2),
        height_ratios=heights,
        layout="constrained",
        squeeze=False,
    )
    for axis, panel in zip(axes.flat, panels, strict=True):
        _draw(axis, panel)
    figure.supxlabel(caption, fontsize=7, wrap=True)
    files = [path.with_suffix(suffix) for suffix in (".png", ".svg")]
    for file in files:
        figure.savefig(file, dpi=150)
    pyplot.close(figure)
    return files


def _draw(axis: Any, panel: Sequence[Result]) -> None:
    """Draw one scenario: medians as bars, with lines from the lowest to the highest."""
    costs = [one.cost for one in panel]
    bars = axis.barh(
        [ROWS[one.row].title for one in panel],
        costs,
        color=[OURS if one.row.startswith("ours") else OTHERS for one in panel],
        xerr=(
            [one.cost - one.cost_lowest for one in panel],
            [one.cost_highest - one.cost for one in panel],
        ),
        error_kw={"ecolor": "#333333", "elinewidth": 0.8},
    )
    axis.bar_label(bars, [f"{cost:.2f}" for cost in costs], padding=3, fontsize=8)
    axis.set_xlim(0, 1.15 * max(one.cost_highest for one in panel))
    axis.invert_yaxis()
    scenario = SCENARIOS[panel[0].scenario]
    axis.set_title(f"{scenario.title}: {scenario.cost}", loc="left", fontsize=10)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
