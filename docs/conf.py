"""How Sphinx builds these pages."""

from __future__ import annotations

import importlib.metadata
import typing as t

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from flask_state.core import settings

project = "flask_state"
copyright = "the flask_state authors"
release = version = importlib.metadata.version("flask-statekit")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
html_theme = "furo"
html_title = "flask_state"
add_module_names = False
smartquotes = False  # 'auto' is a value, not a quotation
exclude_patterns = ["_build"]

myst_enable_extensions = ["deflist", "fieldlist"]
myst_heading_anchors = 3
copybutton_exclude = ".linenos, .gp, .go"  # prompts and output are not for the clipboard

default_role = "code"  # docstrings say `name`, as one does in Markdown
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_preserve_defaults = True

# Every reference must lead somewhere, except into other projects: their inventories would have
# to be fetched, and these pages are built without the network.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(flask|werkzeug|blinker|jinja2|itsdangerous)\..*"),
    (r"py:.*", r"(collections\.abc|cabc|typing|t|types|enum|datetime|dt|decimal|uuid)\..*"),
    (r"py:class", r"~?(.*\.)?[A-Z]"),  # type variables
    (r"py:class", r"flask_state\.(.*\.)?_\w+"),  # bases that nobody should name
]


class SettingsTable(SphinxDirective):
    """The table of settings, from the table the code itself reads.

    Every key becomes a target: ``{confval}`STATE_URL` `` on any page leads to its row.
    """

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        self.env.note_dependency(settings.__file__)
        body = nodes.tbody()
        for row in settings.settings_table():
            body += self._row(
                [self._key(row.key)],
                [nodes.paragraph("", "", nodes.literal("", repr(row.default)))],
                self.parse_text_to_nodes(row.help),
            )
        head = nodes.thead("", self._row(*([nodes.paragraph("", text)] for text in _HEADINGS)))
        columns = [nodes.colspec(colwidth=width) for width in _WIDTHS]
        group = nodes.tgroup("", *columns, head, body, cols=len(columns))
        return [nodes.table("", group, classes=["colwidths-given"])]

    def _key(self, key: str) -> nodes.Node:
        target = nodes.make_id(f"confval-{key}")
        standard = self.env.domains.standard_domain
        standard.note_object("confval", key, target, location=self.get_location())
        return nodes.paragraph("", "", nodes.literal("", key), ids=[target])

    def _row(self, *cells: t.Sequence[nodes.Node]) -> nodes.row:
        return nodes.row("", *(nodes.entry("", *cell) for cell in cells))


_HEADINGS = ("Key", "Default", "What it says")
_WIDTHS = (30, 15, 55)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_directive("settings-table", SettingsTable)
