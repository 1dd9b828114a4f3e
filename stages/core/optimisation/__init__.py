"""What training a head and fine-tuning a backbone share: schedules, weight decay, scores, early stopping."""
