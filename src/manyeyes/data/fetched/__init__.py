"""Readers of larger data sets that a user fetches with one command (apt or npm) into a folder of their own."""
