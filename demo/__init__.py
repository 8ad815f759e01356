"""The local demo: a real Label Studio and AskNext side by side, with real data to label."""
