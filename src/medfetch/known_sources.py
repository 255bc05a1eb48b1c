"""All sources that this installation knows, as ``medfetch sources`` tells of them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from medfetch import sources
from medfetch.config import Settings
from medfetch.errors import UsageProblem
from medfetch.types import Traits


@dataclass(frozen=True, slots=True)
class Known:
    """One source."""

    name: str
    origin: str
    """The package that it comes from, with its version."""
    summary: str = ""
    traits: Traits | None = None
    """None where it does not load."""
    error: str = ""
    """Why it does not."""
    endpoints: Mapping[str, str] | None = None
    """Base addresses by name, as they are set now; "" where a recipe or a person names the host."""

    @property
    def lacks(self) -> str:
        """The program that it needs and this machine has not; "" where nothing is lacking."""
        program = self.traits.program if self.traits else ""
        return "" if shutil.which(program) or not program else program


def known(settings: Settings) -> Iterator[Known]:
    """All of them by name, those that fail to load included."""
    for name in sources.names():
        origin = sources.origin(name)
        try:
            source = sources.get(name)
            traits = source.traits
        except (UsageProblem, AttributeError) as error:
            yield Known(name, origin, error=str(error))
            continue
        endpoints = {each: settings.endpoints.get(each, address) for each, address in traits.endpoints.items()}
        yield Known(name, origin, _summary(source), traits, endpoints=endpoints)


def _summary(source: sources.Source) -> str:
    """The first line of what its module says of itself, else its class."""
    told = sys.modules[type(source).__module__].__doc__ or type(source).__doc__ or ""
    return told.strip().partition("\n")[0].rstrip(".:,").replace("``", "")
