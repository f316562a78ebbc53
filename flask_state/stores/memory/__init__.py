"""The engine `memory://`: records in this process, gone with it."""
