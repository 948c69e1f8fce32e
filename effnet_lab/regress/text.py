"""Markdown and numbers as the report prints them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt


@functools.cache
def _markdown() -> MarkdownIt:
    """CommonMark with tables; HTML in the text stays text."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("table")


def prose(markdown: str) -> str:
    """HTML of a notebook's text; its headings stand below the chapter's."""
    tokens = _markdown().parse(markdown)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + 1, 6)}"
    return str(_markdown().renderer.render(tokens, _markdown().options, {}))


def inline(markdown: str) -> str:
    """HTML of one sentence, without a paragraph around it."""
    return str(_markdown().renderInline(markdown))


def split_heading(markdown: str) -> tuple[str, str]:
    """The words of the first line if it is a heading, and the rest."""
    first, _, rest = markdown.strip().partition("\n")
    return (inline(first.lstrip("# ")), rest) if first.startswith("#") else ("", markdown)
