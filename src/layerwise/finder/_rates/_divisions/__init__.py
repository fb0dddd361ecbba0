"""The data of a search for rates, divided into a part to train on and a part that is held out."""
