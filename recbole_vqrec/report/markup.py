"""Tables as markdown: what runs and users have named stays as it is, only the report's own marks are marks."""

import re

from tabulate import tabulate

OF_MARKDOWN = re.compile(r"([\\`*|]|(?<!\w)_|_(?!\w))")  # an underscore inside a word is none


class Markup(str):
    """A cell that is markdown already."""


def plain(text):
    """Return text that markdown shows as it is, on one line."""
    if isinstance(text, Markup):
        return str(text)
    escaped = OF_MARKDOWN.sub(r"\\\1", str(text)).replace("\n", " ")
    return escaped.replace("&", "&amp;").replace("<", "&lt;")


def table(header, lines, align="right"):
    """Return a markdown table.

    Args:
        header (list): of cells.
        lines (list of list): of cells; those that are no `Markup` are shown as they are.
        align (str): "right" or "left", of all columns but the first.
    """
    cells = [[plain(cell) for cell in line] for line in lines]
    aligned = ("left", *[align] * (len(header) - 1))
    return tabulate(cells, [plain(name) for name in header], "pipe", disable_numparse=True, colalign=aligned)
