"""From forecasts to requests: policies, prices, replays, simulations, recommendations."""
