"""The verbs that keep cycles from writing to a collection, and let them again."""
