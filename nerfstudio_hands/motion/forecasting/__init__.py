"""What a hand does next: a convolutional mixer, baselines, windows of tracks, and the metrics of the field."""
