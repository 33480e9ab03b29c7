"""What a newcomer runs first: Recoup's data, invented, and the walk through its three migrations."""
