"""What an author writes, and how it is found."""
