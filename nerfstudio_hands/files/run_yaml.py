"""config.yml that every system can read."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import yaml


class _PortableDumper(yaml.Dumper):
    """PyYAML's, which would write a path as PosixPath or WindowsPath: a class that the other system cannot make."""


_PortableDumper.add_multi_representer(
    PurePath,
    lambda dumper, path: dumper.represent_sequence("tag:yaml.org,2002:python/object/apply:pathlib.Path", path.parts),
)


def portable_yaml(config: Any) -> str:
    """A configuration as nerfstudio's loader reads it, with paths that become those of the reading system."""
    return yaml.dump(config, Dumper=_PortableDumper)
