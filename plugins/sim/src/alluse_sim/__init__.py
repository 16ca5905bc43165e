"""Whole trading sessions in virtual time: the real parts over a network that only memory knows."""
