"""The verb `mcp`: other verbs as tools of an agent."""
