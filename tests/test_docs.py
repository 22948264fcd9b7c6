"""The documents name files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMED = re.compile(r"`([A-Za-z_./]+(?:\.(?:py|yaml|md|jsonl|json)|/))`")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_exists(document: Path) -> None:
    folders = [ROOT, ROOT / "examples"]
    missing = []
    for line in document.read_text().splitlines():
        here = list(folders)
        for name in NAMED.findall(line):
            # In a line that names `a/b.py`, a bare `c.py` after it stands in the same folder.
            found = next((folder / name for folder in reversed(here) if (folder / name).exists()), None)
            if found is None:
                missing.append(name)
            else:
                here.append(found.parent)
    assert missing == []


def anchors(document: Path) -> set[str]:
    """Of a page's headings, as they are made from them: small letters, no punctuation, a dash for each space."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_of_a_document_leads_somewhere(document: Path) -> None:
    broken = []
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", document.read_text()):
        name, _, anchor = target.partition("#")
        page = document.parent / name if name else document
        if not page.exists() or (anchor and anchor not in anchors(page)):
            broken.append(target)
    assert broken == []
