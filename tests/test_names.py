"""Modules of tests lie in many folders, of which Python's path makes one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path


def test_modules_of_tests_have_names_of_their_own(repository: Path) -> None:
    names = Counter(path.name for path in (repository / "tests").rglob("*.py") if path.name != "conftest.py")
    assert not [name for name, count in names.items() if count > 1]
