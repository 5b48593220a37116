"""The click model: from impressions and clicks to the probability of relevance."""
