"""Looks for what is wrong with a page of HTML."""

from __future__ import annotations

import html.parser
import re


class Page(html.parser.HTMLParser):
    """Finds what is wrong with a page."""

    VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.fields: list[dict[str, str | None]] = []
        self.labelled: set[str | None] = set()
        self.headings: list[int] = []
        self.wrong: list[str] = []
        self.feed(text)
        self.wrong += [f"{tag} is left open" for tag in self.open]
        self.wrong += [f"id {id} twice" for id in set(self.ids) if self.ids.count(id) > 1]
        for field in self.fields:
            if field.get("id") not in self.labelled and "aria-label" not in field:
                self.wrong.append(f"no label for {field}")
        if self.headings.count(1) != 1:
            self.wrong.append(f"{self.headings.count(1)} h1")
        jumps = [b for a, b in zip(self.headings, self.headings[1:], strict=False) if b > a + 1]
        self.wrong += [f"a jump to h{level}" for level in jumps]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag in ("input", "textarea", "select") and given.get("type") != "hidden":
            self.fields.append(given)
        if tag == "label":
            self.labelled.add(given.get("for"))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "img" and "alt" not in given:
            self.wrong.append(f"no alt for {given}")
        if tag == "style" or (tag == "script" and "src" not in given):
            self.wrong.append(f"inline {tag}")
        self.wrong += [f"{name} of {tag}" for name in given if re.match(r"on|style$", name)]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"{tag} closed at {self.getpos()}")
