"""The generator that the scripts share with the tests."""


class Lcg:
    """Numerical Recipes' generator: the test draws the same numbers."""

    def __init__(self, seed):
        self.state = seed

    def draw(self):
        self.state = (self.state * 1664525 + 1013904223) % 2**32
        return self.state / 2**32
