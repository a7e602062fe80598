import pytest


@pytest.fixture(autouse=True)
def floors_of_few_draws(few_draws: None) -> None:
    """Contracts ask what kind of numbers floors are, not which."""
