"""Recurrent networks for events and quantiles: LSTM and GRU in PyTorch Lightning."""
