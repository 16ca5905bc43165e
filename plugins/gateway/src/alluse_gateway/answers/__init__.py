"""What the gateway says: one function per message, values in, one frame out, no state."""
