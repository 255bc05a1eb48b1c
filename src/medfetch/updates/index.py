"""Sets of recipes, and the signed file that carries one. It must not know the network, nor what a recipe says.

The index is one JSON file with the text of every recipe, and beside it, with ``.sig`` behind its name, its Ed25519
signature (RFC 8032): 64 bytes, over all bytes of the index. There is nothing to unpack, and no second request whose
answer would have to fit the first. Nothing in it is read before the signature is found right. The same recipes give the
same bytes, so that everybody can make an index again from its commit and compare.

    {"format": 1, "number": 7, "by": "medfetch 0.1.0", "files": {"http/example.yaml": "id: example\\n…"}}

Keys are in the forms that openssl reads and writes: a private one as PEM (PKCS #8), a public one as the middle line of
its PEM, which is the base64 of SubjectPublicKeyInfo (RFC 8410).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfetch import __version__
from medfetch.errors import UPGRADE, IntegrityError, RecipeError, UsageProblem
from medfetch.recipe_folders import number as number_of

FORMAT = 1
MOST_BYTES = 32 * 10**6
"""Of an index, and of all recipes together: a hundred recipes have half a million."""
MOST_FILES = 20_000
LONGEST_FILE = 10**6
"""Bytes of one recipe, and of requirements.yaml."""
SIGNATURE = 64
"""Bytes of an Ed25519 signature."""
PATH = re.compile(r"requirements\.yaml|[a-z0-9-]{1,64}/[a-z0-9]+(?:[.-][a-z0-9]+)*\.yaml")
"""All names that a file of a set can have: in a folder or beside them, and no way out."""


@dataclass(frozen=True, slots=True)
class Recipes:
    """A set of recipes, as it came."""

    number: int
    files: Mapping[str, bytes]
    """By path, relative to the set's folder."""
    origin: str
    """Where it came from, for people."""

    @property
    def digest(self) -> str:
        """One for all of them: SHA-256 over the SHA-256 and the path of each, in the order of the paths."""
        whole = hashlib.sha256()
        for path, content in sorted(self.files.items()):
            whole.update(f"{hashlib.sha256(content).hexdigest()} {path}\n".encode())
        return f"sha256:{whole.hexdigest()}"


def of_folder(folder: Path) -> Recipes:
    """The set in a folder of recipes, or in the checkout that has one.

    Raises: UsageProblem for what is none.
    """
    inside = folder / "recipes" if (folder / "recipes").is_dir() else folder
    number, files = number_of(inside), {}
    for path in sorted((*inside.glob("*.yaml"), *inside.glob("*/*.yaml"))):
        try:
            files[path.relative_to(inside).as_posix()] = path.read_bytes()
        except OSError as error:
            raise UsageProblem(f"{path} cannot be read: {error.strerror}") from error
    return checked(Recipes(number, files, str(folder)))


def checked(recipes: Recipes) -> Recipes:
    """The set, whose names lead nowhere else and whose sizes are those of recipes. Raises: RecipeError."""
    wrong = next((path for path in recipes.files if not PATH.fullmatch(path)), None)
    if wrong is not None:
        raise RecipeError(f"{wrong!r} is no name of a recipe", at=recipes.origin, hint="such as http/example.yaml")
    sizes = {path: len(content) for path, content in recipes.files.items()}
    longest = max(sizes, key=lambda path: sizes[path], default=None)
    if longest is None or set(sizes) == {"requirements.yaml"}:
        raise RecipeError("there are no recipes in it", at=recipes.origin)
    if sizes[longest] > LONGEST_FILE:
        raise RecipeError(f"{longest} has more than {LONGEST_FILE:,} bytes", at=recipes.origin)
    if len(sizes) > MOST_FILES or sum(sizes.values()) > MOST_BYTES:
        raise RecipeError(f"more than {MOST_FILES:,} files or {MOST_BYTES:,} bytes", at=recipes.origin)
    return recipes


def packed(recipes: Recipes) -> bytes:
    """The index of a set. Raises: RecipeError for a recipe that is not UTF-8."""
    texts = {}
    for path, content in sorted(recipes.files.items()):
        try:
            texts[path] = content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise RecipeError(f"not UTF-8: {error}", at=path) from error
    told = {"format": FORMAT, "number": recipes.number, "by": f"medfetch {__version__}", "files": texts}
    return (json.dumps(told, ensure_ascii=False, indent=0) + "\n").encode()


def signature(raw: bytes, key: bytes) -> bytes:
    """Of an index, by a private key as PEM. Raises: UsageProblem for what is no such key; says nothing of it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError):
        private = None  # what went wrong may tell of the key
    if not isinstance(private, Ed25519PrivateKey):
        raise UsageProblem("this is no private Ed25519 key as PEM", hint="openssl genpkey -algorithm ed25519")
    return private.sign(raw)


def public(key: bytes) -> str:
    """The public key of a private one, as it stands in the settings. Raises: as ``signature``."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    signature(b"", key)
    told = load_pem_private_key(key, None).public_key()
    return base64.b64encode(told.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def opened(raw: bytes, signed: bytes, keys: Iterable[str], origin: str) -> Recipes:
    """The set that an index carries.

    Raises: IntegrityError where none of the keys has signed it; UsageProblem for a key that is none; RecipeError for an
    index that is not one, or one for a newer medfetch.
    """
    _verify(raw, signed, list(keys), origin)
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"not valid JSON: {error}", at=origin) from error
    if not isinstance(content, dict) or not _is_number(content.get("format")):
        raise RecipeError("no index of recipes: it does not say of which format it is", at=origin)
    if content["format"] > FORMAT:
        found = f"format {content['format']}, not {FORMAT}"
        raise RecipeError(f"made for a newer medfetch ({found})", at=origin, hint=UPGRADE)
    number: Any = content.get("number")
    files: Any = content.get("files")
    texts = isinstance(files, dict) and all(isinstance(each, str) for each in files.values())
    if not _is_number(number) or not texts:
        raise RecipeError("expected a number from 1 on, and the text of each recipe", at=origin)
    try:
        return checked(Recipes(number, {path: text.encode("utf-8") for path, text in files.items()}, origin))
    except UnicodeEncodeError as error:
        raise RecipeError(f"a recipe is no text: {error.reason}", at=origin) from error


def _is_number(value: Any) -> bool:
    return type(value) is int and value > 0


def _verify(raw: bytes, signed: bytes, keys: list[str], origin: str) -> None:
    from cryptography.exceptions import InvalidSignature

    if len(signed) != SIGNATURE:
        raise IntegrityError(f"{origin}: its signature has {len(signed)} bytes, expected {SIGNATURE}", hint=UNTRUSTED)
    for key in map(_key, keys):
        try:
            key.verify(signed, raw)
        except InvalidSignature:
            continue
        return
    raise IntegrityError(f"{origin} is signed by none of the keys in recipes_keys", hint=UNTRUSTED)


UNTRUSTED = "nothing was changed; ask whoever publishes it whether their key is another one now"


def _key(text: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        key = load_der_public_key(base64.b64decode(text, validate=True))
        if isinstance(key, Ed25519PublicKey):
            return key
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        pass
    raise UsageProblem(
        f"recipes_keys: {text!r} is no public Ed25519 key",
        hint="what openssl pkey -in key.pem -pubout prints, without its first and last line",
    )
