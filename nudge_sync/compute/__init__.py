"""Engines that run independent tasks in processes of this machine or of others: `[compute]`."""
