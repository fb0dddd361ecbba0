"""How good the rates that ``find_rates`` gives to layers are: transfers, an oracle, and peers."""
