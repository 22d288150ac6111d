"""Colours: figures are drawn in the light ones; the page replaces them by CSS variables."""

LIGHT = {
    "paper": "#fefefe",
    "ink": "#1b1f24",
    "muted": "#5f6974",
    "grid": "#d5dbe1",
    "blue": "#0067a6",
    "orange": "#c74b00",
    "green": "#007f5c",
}
DARK = {
    "paper": "#14181d",
    "ink": "#e4e8ec",
    "muted": "#98a3ae",
    "grid": "#353e48",
    "blue": "#5cb3ef",
    "orange": "#ff9850",
    "green": "#3ccb9b",
}


def to_variables(svg: str) -> str:
    """Exchange the light colours for CSS variables, so that a figure follows its page.

    >>> to_variables('<path fill="#0067a6"/>')
    '<path fill="var(--blue)"/>'
    """
    for name, colour in LIGHT.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg
