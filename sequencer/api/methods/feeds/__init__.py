"""What is told on channels, and to whom."""
