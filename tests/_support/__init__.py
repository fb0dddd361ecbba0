"""What the tests share: networks, oracles, processes of their own."""
