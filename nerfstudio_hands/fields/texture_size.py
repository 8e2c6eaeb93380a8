"""Sizes of textures; imports nothing heavy, so that a command can look at its options at once."""

from __future__ import annotations

from nerfstudio_hands.errors import HandsError

SMALLEST_TEXTURE, LARGEST_TEXTURE = 16, 8192


def check_texture_size(size: int) -> None:
    """Raises a HandsError unless the size is a power of two that graphics hardware takes."""
    if not SMALLEST_TEXTURE <= size <= LARGEST_TEXTURE or size & (size - 1):
        raise HandsError(
            f"--texture-size: expected a power of two from {SMALLEST_TEXTURE} to {LARGEST_TEXTURE}, because mipmaps "
            f"need it, found {size}: give 1024, say."
        )
