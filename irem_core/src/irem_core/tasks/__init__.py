"""Where problems come from, how hard they are, and what an answer without reasoning scores."""
