"""Lists that name the samples of a split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Int

from nerfstudio_hands.errors import HandsError
from nerfstudio_hands.files.guarded_files import UnreadableFile, read_json


def chosen_ids(path: Path, there: Int[np.ndarray, " N"], where: Path) -> Int[np.ndarray, " M"]:
    """The numbers of samples that a JSON list names, as numbers or as strings with leading zeros.

    Args:
        path: The list.
        there: Numbers of the samples that there are.
        where: They are, for messages.

    Raises:
        HandsError: It is no such list, or names samples that are not there.
    """
    try:
        chosen = np.array([int(item) for item in read_json(path)], np.int64)
    except UnreadableFile as error:
        raise HandsError(f"{path}: expected a JSON list of sample ids, found {error}; give another file.") from error
    except (TypeError, ValueError) as error:
        raise HandsError(
            f"{path}: expected a JSON list of sample ids, '00000012' or 12, found something else in it; give gSDF's "
            "split file."
        ) from error
    missing = chosen[~np.isin(chosen, there)]
    if len(missing) or not len(chosen):
        found = f"{len(missing)} that are not there, {missing[0]:08d} the first" if len(missing) else "an empty list"
        raise HandsError(
            f"{path}: expected ids of samples in {where}, found {found}; give the list of this split, or unpack all of "
            "the data set."
        )
    return chosen
