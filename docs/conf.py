"""The documentation site (``make site``): README.md, CHANGELOG.md, CONTRIBUTING.md and the pages here, by Sphinx.

All of the repository is its source folder, so that a page's links are the same at a forge and on the site. Nothing
comes from another host, neither when it is built nor when it is read.
"""

import medfetch

project = "medfetch"
copyright = "the medfetch contributors"
version = release = medfetch.__version__

root_doc = "docs/index"
include_patterns = ["*.md", "docs/**"]
exclude_patterns = [".*", "build", "cache", "demo", "dist", "man", "recipes", "scripts", "src", "tests"]
extensions = ["myst_parser"]
myst_heading_anchors = 4
nitpicky = True

html_theme = "furo"
html_title = f"medfetch {version}"
html_show_sphinx = False
html_extra_path = ["site"]  # index.html, which leads to docs/index.html
