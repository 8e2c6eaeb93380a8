"""Parts of pictures of hands that are drawn by the thousand."""
