"""HTML elements shared by all pages: tables, figures, colours."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from string import Template

from eval.report.palette import DARK, LIGHT, to_variables
from store.runtime.cli import to_one_line


def format_table(
    headings: Sequence[str], rows: Sequence[Iterable[object]], kind: str = "", summary_rows: int = 0
) -> str:
    """A table; the last ``summary_rows`` rows are marked."""
    body = "".join(_row(row, number >= len(rows) - summary_rows) for number, row in enumerate(rows))
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    return f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def format_wide(headings: Sequence[str], rows: Sequence[Iterable[object]], kind: str = "") -> str:
    """A table that scrolls sideways where the page is narrow; nothing if it has no rows."""
    return f'<div class="wide">{format_table(headings, rows, kind)}</div>' if rows else ""


def format_figure(name: str, svg: str, caption: str) -> str:
    """A figure in the colours of its page."""
    drawing = to_variables(svg[svg.index("<svg") :]).replace("<svg", f'<svg role="img" aria-label="{name}"', 1)
    return f"<figure>{drawing}<figcaption>{escape(caption)}</figcaption></figure>"


def format_warnings(warnings: Sequence[str]) -> str:
    """Warnings as a list; nothing if there are none."""
    items = "".join(f"<li>{escape(to_one_line(text))}</li>" for text in warnings)
    return items and f'<section class="warnings"><strong>Warnings</strong><ul>{items}</ul></section>'


def format_page(template: str, title: str, fill: Mapping[str, str], css: str = "") -> str:
    """A whole page, in the frame and the colours that all pages share.

    Parameters
    ----------
    template
        Name of a file of this folder: what the page shows.
    fill
        HTML that the template takes, beside the title.
    css
        Rules of this page alone.
    """
    title = escape(to_one_line(title))
    return _read_template("frame.html").substitute(
        title=title,
        light=_list_variables(LIGHT),
        dark=_list_variables(DARK),
        css=_read("page.css") + css,
        body=_read_template(template).substitute(fill, title=title),
    )


def _read(name: str) -> str:
    return resources.files("eval.report").joinpath(name).read_text(encoding="utf-8")


def _read_template(name: str) -> Template:
    return Template(_read(name))


def _list_variables(colours: Mapping[str, str]) -> str:
    """Colours as variables of CSS."""
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())


def _row(cells: Iterable[object], is_summary: bool = False) -> str:
    kind = ' class="summary"' if is_summary else ""
    return f"<tr{kind}>{''.join(f'<td>{escape(to_one_line(cell))}</td>' for cell in cells)}</tr>"
