"""A plan, a search or a point looked at closely, for people; nothing here writes."""
