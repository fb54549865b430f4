"""What is to be predicted."""
