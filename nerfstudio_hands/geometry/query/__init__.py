"""Searches on triangle surfaces: nearest points, ray hits, samples of a shell, edges of a silhouette."""
