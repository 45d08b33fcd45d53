"""What is there to work with, and what is missing; nothing is changed, made or downloaded."""
