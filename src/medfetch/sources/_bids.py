"""What the path of a file in a BIDS dataset says of it. It must not know hosts."""

from __future__ import annotations

import re

FACETS = ("path", "subject", "session", "modality", "task")
"""What can be selected by, besides the path."""
LEVELS = {"subject": re.compile(r"sub-[A-Za-z0-9+]+"), "session": re.compile(r"ses-[A-Za-z0-9+]+")}
TASK = re.compile(r"(?:^|_)task-([A-Za-z0-9+]+)")
MODALITIES = frozenset({
    "anat", "beh", "dwi", "eeg", "fmap", "func", "ieeg", "meg", "micr", "motion", "mrs", "nirs", "perf", "pet",
})  # fmt: skip
"""The folders of files of one kind, "data types" in the words of BIDS (specification 1.10, glossary)."""


def facets(path: str) -> dict[str, str]:
    """Subject and session with their prefixes, as ``participant_id`` and ``session_id`` in the dataset's own tables;
    the modality as its folder is called; the task's label alone. What the path does not tell is left out."""
    *folders, name = path.split("/")
    found = {}
    for facet, pattern in LEVELS.items():
        if label := next((each for each in folders if pattern.fullmatch(each)), None):
            found[facet] = label
    if kind := next((each for each in folders if each in MODALITIES), None):
        found["modality"] = kind
    if task := TASK.search(name):
        found["task"] = task[1]
    return found
