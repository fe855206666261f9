"""Another encoder for a living index: its vectors made beside the old ones, compared, and put in their place."""
