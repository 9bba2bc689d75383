"""What framing.c has. It is there only where it could be compiled."""

def frame(block: bytes, heads: dict[bytes, bytes]) -> tuple[bytes, int] | None:
    """Action and source of each line of a block, and how many there are. None if any line is odd."""
