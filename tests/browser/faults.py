"""What can be wrong with a page as it is shown: too wide, unnamed, unlabelled, broken."""

from __future__ import annotations

import typing as t

from playwright.sync_api import Page
from playwright.sync_api import ViewportSize

SIZES: t.Final[dict[str, ViewportSize]] = {
    "desktop": {"width": 1280, "height": 800},
    "phone": {"width": 390, "height": 844},
}

_LOOK: t.Final = """async () => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const faults = [];
  const root = document.documentElement;
  const excess = root.scrollWidth - root.clientWidth;
  if (excess > 0) faults.push(`${excess} pixels too wide`);
  if (!document.title.trim()) faults.push("no title");
  const headings = all("h1").filter((each) => each.textContent.trim());
  if (headings.length !== 1) faults.push(`${headings.length} h1`);
  for (const field of all("input:not([type=hidden]), select, textarea")) {
    const labels = [...field.labels].filter((each) => each.textContent.trim());
    if (!labels.length && !field.ariaLabel) faults.push(`no label: ${field.name}`);
  }
  const images = all("img");
  images.forEach((image) => (image.loading = "eager"));
  await Promise.all(images.map((image) => image.decode().catch(() => {})));
  for (const image of images) {
    if (!image.naturalWidth) faults.push(`broken image: ${image.getAttribute("src")}`);
  }
  return faults;
}"""


def faults(page: Page) -> list[str]:
    """All that is wrong with a page at the size that its window has now."""
    return t.cast("list[str]", page.evaluate(_LOOK))
