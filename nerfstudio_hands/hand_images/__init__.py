"""Pictures of one hand each, with what is known of it: what feed-forward networks learn from."""
