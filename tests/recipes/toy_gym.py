"""A package of the shape of reasoning-gym whose tasks a toy vocabulary can ask and answer."""

import sys
from pathlib import Path

from manyeyes.agent.adapters.reasoning_gym import ReasoningGym

FAKE = '''
class Sums:
    """Right is whatever is even: what no model knows before."""
    def __init__(self, seed, size, most=9):
        self.seed, self.size, self.most = seed, size, most
    def __getitem__(self, index):
        a, b = (self.seed * 7 + index) % self.most, index % 3
        return {"question": f"what is {a} plus {b}", "answer": str(a + b), "metadata": {}}
    def score_answer(self, answer, entry):
        return 0.0 if answer is None else float(int(answer) % 2 == 0)

def create_dataset(name, seed, size, **options):
    return Sums(seed, size, **options)
'''


def toy_gym(folder: Path) -> ReasoningGym:
    """Made in `folder`."""
    package = folder / "reasoning_gym"
    package.mkdir()
    (package / "__init__.py").write_text(FAKE)
    (package / "factory.py").write_text("DATASETS = {'sums': None}\n")
    gym = ReasoningGym(most=1)
    start = f"import sys, runpy; sys.path.insert(0, {str(folder)!r}); runpy.run_path(sys.argv[1], run_name='__main__')"
    gym.command = [sys.executable, "-s", "-c", start, gym.command[-1]]
    return gym
