"""Whatever a browser complains about while a test looks at pages."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from playwright.sync_api import BrowserContext
from playwright.sync_api import ConsoleMessage
from playwright.sync_api import WebError

# A violation is in the console too; this says what was blocked, and can't be cleared by a page.
_REPORT_VIOLATIONS: t.Final = """
document.addEventListener("securitypolicyviolation", (event) =>
  reportViolation(`${event.violatedDirective} ${event.blockedURI}`));
"""


class Watch:
    """Writes down the complaints of one context: all its pages, from before they are opened."""

    def __init__(self, context: BrowserContext) -> None:
        self.complaints: t.Final[list[str]] = []
        context.on("console", self._hear_console)
        context.on("weberror", self._hear_error)
        context.expose_binding("reportViolation", self._hear_violation)
        context.add_init_script(_REPORT_VIOLATIONS)

    def without(self, forgiven: cabc.Iterable[str]) -> list[str]:
        """The complaints in which none of these texts occurs."""
        texts = tuple(forgiven)
        return [each for each in self.complaints if not any(text in each for text in texts)]

    def _hear_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _hear_error(self, error: WebError) -> None:
        self.complaints.append(f"uncaught: {error.error}")

    def _hear_violation(self, source: object, text: str) -> None:
        self.complaints.append(f"violation: {text}")
