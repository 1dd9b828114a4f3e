"""The LSTM head: the model, its training, its losses and schedules, its files."""
