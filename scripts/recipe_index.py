"""Makes the index of the built-in recipes, from which ``medfetch recipe update`` brings them, and signs it.

    openssl genpkey -algorithm ed25519 -out key.pem            # once; it is the publisher's secret
    python scripts/recipe_index.py --public < key.pem          # what people put into recipes_keys
    python scripts/recipe_index.py dist/recipes.json < key.pem # also dist/recipes.json.sig

The key comes by standard input, so that it stands in no argument. Raise recipes/NUMBER before recipes are published.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from medfetch import catalog, recipe_folders
from medfetch.errors import MedfetchError
from medfetch.updates import index


def main() -> int:
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("file", nargs="?", type=Path, help="where the index goes; its signature goes beside it")
    asked.add_argument("--public", action="store_true", help="print the public key")
    asked.add_argument("--recipes", type=Path, default=recipe_folders.builtin(), help="another folder of recipes")
    given = asked.parse_args()
    if given.public == bool(given.file):
        asked.error("expected either a file or --public")
    try:
        key = sys.stdin.buffer.read()
        trusted = index.public(key)
        if given.public:
            print(trusted)
            return 0
        for problem in catalog.check([given.recipes]):
            raise MedfetchError(f"{problem.file}:{problem.line}: {problem.field}: {problem.message}")
        raw = index.packed(index.of_folder(given.recipes))
        signed = index.signature(raw, key)
        made = index.opened(raw, signed, [trusted], str(given.file))  # as people will
        given.file.write_bytes(raw)
        given.file.with_name(f"{given.file.name}.sig").write_bytes(signed)
    except MedfetchError as error:
        print(f"{error.message}" + f"\nhint: {error.hint}" * bool(error.hint), file=sys.stderr)
        return error.exit_code
    print(f"{given.file}: recipes number {made.number}, {len(made.files)} files, {len(raw):,} bytes, {made.digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
