"""The report of recommendations: one page that needs no network, and tables."""
