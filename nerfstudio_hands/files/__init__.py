"""Files: read whatever they hold without harm, written whole or not at all."""
