"""Pictures of events, forecasts, trainings and coverage."""
