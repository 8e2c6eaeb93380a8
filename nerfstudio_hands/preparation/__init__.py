"""From pictures that people have to captures: which hand is which, and what is written."""
