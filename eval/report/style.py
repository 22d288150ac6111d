"""Style and output formats of figures."""

import functools
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, ParamSpec

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, SymmetricalLogLocator

from eval.report.palette import LIGHT
from store.runtime.atomic import write_bytes, write_text
from store.runtime.cli import to_one_line

P = ParamSpec("P")
_FEW_ALARMS = 30  # an axis up to here has ticks between the powers of ten
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # travels with matplotlib: no glyph is missing anywhere
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LIGHT["grid"],
    "grid.linewidth": 0.6,
    "figure.facecolor": LIGHT["paper"],
    "axes.facecolor": LIGHT["paper"],
    "legend.frameon": False,
    "svg.fonttype": "path",
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.titlecolor"), LIGHT["ink"]),
    **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), LIGHT["muted"]),
}


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in the style of the project."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return drawn


def save_figure(figure: Figure, folder: Path, name: str) -> str:
    """Write a figure as SVG and PNG; return the SVG, which is the same for the same figure."""
    text, image = io.StringIO(), io.BytesIO()
    with matplotlib.rc_context(_STYLE | {"svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # of a name in another script: a box is drawn
        figure.savefig(text, format="svg", metadata={"Date": None})
        figure.set_layout_engine("none")  # as it is laid out, which takes long
        figure.savefig(image, format="png", dpi=150)
    write_bytes(folder / f"{name}.png", image.getvalue())
    write_text(folder / f"{name}.svg", text.getvalue())
    return text.getvalue()


def label(name: object) -> str:
    """A name as text of a figure: no formula, no control characters."""
    return to_one_line(name).replace("$", r"\$")


def scale_alarms(axes: Axes, axis: Literal["x", "y"]) -> None:
    """Show false alarms from 0 to 1 at least, above 1 by powers of ten; after they are drawn."""
    (axes.set_xscale if axis == "x" else axes.set_yscale)("symlog", linthresh=1)
    _, most = axes.get_xlim() if axis == "x" else axes.get_ylim()
    axes.set(**{f"{axis}lim": (0, max(1.0, most))})
    scale = axes.xaxis if axis == "x" else axes.yaxis
    if most <= 1:
        scale.set_major_locator(MaxNLocator(5))
    elif most < _FEW_ALARMS:
        scale.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1, subs=(1, 2, 5)))
    scale.set_major_formatter("{x:g}")


def panels(number: int = 1, height: float = 2.7, width: float = 4.4, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure and its axes; its text is still 11 pixels high where the page is that of a phone, 390 wide."""
    figure = Figure(figsize=(width, height * rows), layout="constrained")
    return figure, list(figure.subplots(rows, number // rows, squeeze=False).flat)
