"""The Model Context Protocol server of `retr mcp`, on the protocol's own SDK."""
