"""Names made safe as paths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medfetch.errors import RecipeError
from medfetch.sources._paths import component, relative

ANY_TEXT = st.text(st.characters(codec=None), max_size=40)
DANGEROUS = st.text("a./\\% \0\n\u202e\ud800é", max_size=8)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("LIDC-IDRI-0001", "LIDC-IDRI-0001"),
        ("1.3.6.1.4.1", "1.3.6.1.4.1"),
        ("GBM_DSC_MRI_DRO_Bo=15T", "GBM_DSC_MRI_DRO_Bo=15T"),
        ("ZZ RIDER MR8 1", "ZZ RIDER MR8 1"),
        ("Müller 山田", "Müller 山田"),
        ("a/b\\c", "a%2Fb%5Cc"),
        ("100%", "100%25"),
        ("..", "%2E%2E"),
        (".", "%2E"),
        (".hidden", "%2Ehidden"),
        (" padded ", "%20padded%20"),
        ("line\nbreak\0", "line%0Abreak%00"),
        ("", "%"),
    ],
)
def test_component(name: str, expected: str) -> None:
    assert component(name) == expected


@given(DANGEROUS, DANGEROUS)
def test_different_names_give_different_components(one: str, other: str) -> None:
    assert (component(one) == component(other)) == (one == other)


@given(ANY_TEXT | DANGEROUS)
def test_a_component_is_a_safe_relative_path(name: str) -> None:
    assert relative(component(name)) == component(name)
    assert "/" not in component(name)


@given(ANY_TEXT)
def test_a_component_is_made_of_one_to_255_bytes_or_refused(name: str) -> None:
    try:
        assert 1 <= len(component(name * 10).encode()) <= 255
    except RecipeError:
        assert len(name * 10) > 255 // 4 // 3


def test_a_name_too_long_is_quoted() -> None:
    assert component("x" * 255) == "x" * 255
    with pytest.raises(RecipeError, match=r"x{256}.*256 bytes"):
        component("x" * 256)
    with pytest.raises(RecipeError, match="300 bytes"):
        component("é" * 150)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../x",
        "a/../b",
        "a//b",
        "a/./b",
        "",
        "a/",
        "a\\b",
        "a\nb",
        "a\u202eb",
        ".medfetch/plan",
        "x" * 256,
    ],
)
def test_unsafe_paths_are_refused(path: str) -> None:
    with pytest.raises(RecipeError):
        relative(path)


@pytest.mark.parametrize("path", ["a", "a/b c/d%.nii.gz", ".bidsignore", "a/.medfetch/x", "x/" * 149 + "x"])
def test_safe_paths_stay(path: str) -> None:
    assert relative(path) == path
