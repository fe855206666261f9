"""Late interaction: one vector a token, kept as codes and compared by MaxSim (Khattab and Zaharia, 2020)."""
