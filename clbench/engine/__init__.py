"""The engine: a run is data in, accuracy matrix out. It knows no strategy by name."""
