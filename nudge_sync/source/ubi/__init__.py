"""OpenSearch's User Behavior Insights: the indices of queries and of events."""
