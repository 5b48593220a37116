"""The choice of a method and its settings, by cross-validation over queries and documents.

`tune` finds the settings of each method, `choose` picks a method, `document_folds` hides documents
so that cold ones are seen, and `strata` weighs warm and cold answers against each other.
"""
