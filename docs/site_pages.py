"""What the site has besides the pages in this folder; a hook of ``mkdocs build``, which ``make site`` runs.

The README is its first page; every block has one with its formula, picture, command and paper; the notebook is a page
with its pictures; and the reference is made from docstrings.
"""

from __future__ import annotations

import base64
import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import block_pages
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

DOCS = Path(__file__).parent
BESIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages that lie beside this folder, and what they are called in the site."""
REFERENCE = (
    *("plugging", "blocks", "poolings", "costs", "backbones", "heads", "tasks", "objectives", "training"),
    *("datamodules", "leaderboard.record", "leaderboard.tables", "leaderboard.statistics", "metrics", "hub"),
)
"""Modules whose public names are documented."""
HIDDEN = {"plugging": ("plug.plug", "sites.sites")}
"""Functions that have the name of their module, which is then what a static reader finds."""
FAMILIES = {
    "nonlocals": "Nonlocal",
    "attention": "Attention",
    "channels": "Channels",
    "convolutions": "Convolutions",
    "mixers": "Mixers",
    "activations": "Activations",
    "stages": "Whole stages",
    "poolings": "Poolings",
    "training": "Training",
    "objectives": "Objectives",
}
"""Titles of the folders or files that blocks, and what else has a paper, stand in."""
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")
FUNCTION = """\
    options:
      show_root_full_path: false
      show_root_heading: true
      show_root_toc_entry: true
"""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the pages of blocks and of modules in the menu."""
    families: dict[str, list[str]] = {title: [] for title in FAMILIES.values()}
    for kind in block_pages.kinds():
        _, room, folder, *_ = kind.__module__.split(".")
        families[FAMILIES[folder if room == "blocks" else room]].append(f"blocks/{kind.__name__}.md")
    lists: dict[str, list[Any]] = {
        "Blocks": [{title: listed} for title, listed in families.items()],
        "Reference": [{f"blockyard.{name}": f"reference/{name}.md"} for name in REFERENCE],
    }
    config.nav = [
        {title: [*pages, *lists.get(title, ())] if isinstance(pages, list) else pages for title, pages in item.items()}
        for item in config.nav or ()
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is made."""
    for path, content in made().items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links lead to pages of the site; those to what is not in it keep their words alone."""
    path = page.file.src_uri
    source = next((beside for beside, called in BESIDE.items() if called == path), f"docs/{path}")

    def link(found: re.Match[str]) -> str:
        image, words, target, anchor = found.groups()
        meant = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        meant = BESIDE.get(meant, meant.removeprefix("docs/")).replace(".ipynb", ".md")
        if files.get_file_from_path(meant) is None:
            return words
        return f"{image}[{words}]({posixpath.relpath(meant, posixpath.dirname(path) or '.')}{anchor or ''})"

    return LINK.sub(link, block_pages.without_sections(markdown) if path == "blocks.md" else markdown)


def made() -> dict[str, str | bytes]:
    """Every page and picture that is no file of this folder, by its path in the site."""
    found: dict[str, str | bytes] = {called: (DOCS.parent / beside).read_text() for beside, called in BESIDE.items()}
    found |= {f"reference/{name}.md": reference_page(name) for name in REFERENCE}
    return found | dict(block_pages.pages()) | dict(of_notebook(json.loads((DOCS / "notebook.ipynb").read_text())))


def reference_page(name: str) -> str:
    """What mkdocstrings makes the page of a module of."""
    hidden = [f"::: blockyard.{name}.{function}\n{FUNCTION}" for function in HIDDEN.get(name, ())]
    return "\n".join([f"# blockyard.{name}\n", *hidden, f"::: blockyard.{name}\n"])


def of_notebook(notebook: dict[str, Any]) -> Iterator[tuple[str, str | bytes]]:
    """The page of a notebook and the pictures on it, by their paths in the site."""
    lines: list[str] = []
    pictures = 0
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        lines.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        for output in cell.get("outputs", ()):
            if output["output_type"] == "stream":
                lines.append(f"```text\n{''.join(output['text']).rstrip()}\n```")
            else:
                pictures += 1
                name = f"notebook-{pictures}.png"
                lines.append(f"![what the cell draws]({name})")
                yield name, base64.b64decode("".join(output["data"]["image/png"]))
    yield "notebook.md", "\n\n".join(lines) + "\n"
