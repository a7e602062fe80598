"""The tables and figures of the paper, made from what trainings recorded: `irem reproduce`."""
