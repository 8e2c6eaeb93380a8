vertex_ids: dict[str, dict[str, int]]
