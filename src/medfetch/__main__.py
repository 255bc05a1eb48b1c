"""``python -m medfetch``."""

from medfetch.cli import main

main()
