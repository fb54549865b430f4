"""What a model has to beat: persistence, the season, a line, a service's own rate."""
