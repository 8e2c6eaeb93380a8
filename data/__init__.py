"""The capture that ships with the project: see README.md beside this file."""
