"""The verbs that prove a plan on live traffic before it is written."""
