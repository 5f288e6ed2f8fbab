"""Trains the comparer of bare printed circuit boards; see README.md beside this folder."""
