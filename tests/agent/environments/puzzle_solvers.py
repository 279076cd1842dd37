"""Code that solves puzzles from their pictures alone; it runs in the sandbox and knows no more than a model does."""

PRELUDE = """
import re
import numpy as np
from collections import deque
from PIL import Image
from scipy import ndimage
pixels = lambda name: np.asarray(Image.open(f"/inputs/{name}").convert("RGB")).astype(int)
"""
MAZE = """
image = pixels("maze.png")
size = int(re.search(r"maze of (\\d+) x", QUESTION)[1])
dark = image.sum(axis=2) < 250
rows, columns = np.where(dark.any(axis=1))[0], np.where(dark.any(axis=0))[0]
top, left = rows[0], columns[0]
thick = next(n for n in range(1, 9) if not dark[top + n, left + 12])     # of the outer wall
top, left = top + thick / 2 - 0.5, left + thick / 2 - 0.5
side = (rows[-1] - thick / 2 + 0.5 - top) / size
def dot(mask):
    y, x = np.argwhere(mask).mean(axis=0)
    return int((y - top) // side), int((x - left) // side)
red, green, blue = image[..., 0], image[..., 1], image[..., 2]
start = dot((green > 140) & (red < 60) & (blue < 90))
goal = dot((red > 200) & (green < 70) & (blue < 70))
steps = {"U": (-1, 0), "D": (1, 0), "L": (0, -1), "R": (0, 1)}
def free(cell, step):
    y, x = top + (cell[0] + 0.5 + step[0] * 0.5) * side, left + (cell[1] + 0.5 + step[1] * 0.5) * side
    y, x = int(round(y)), int(round(x))
    return not dark[max(0, y - 3):y + 4, x].any() if step[0] else not dark[y, max(0, x - 3):x + 4].any()
routes, waiting = {start: ""}, deque([start])
while waiting:
    cell = waiting.popleft()
    for letter, step in steps.items():
        other = (cell[0] + step[0], cell[1] + step[1])
        if other not in routes and 0 <= other[0] < size and 0 <= other[1] < size and free(cell, step):
            routes[other] = routes[cell] + letter
            waiting.append(other)
print("Answer:", routes[goal] if "letter" in QUESTION else len(routes[goal]))
"""
PIE = """
image = pixels("pie.png")
name = re.search(r"does the (\\w+) part", QUESTION)[1]
colours = {"red": (214, 39, 40), "blue": (31, 119, 180), "green": (44, 160, 44), "orange": (255, 127, 14),
           "purple": (148, 103, 189), "brown": (140, 86, 75), "pink": (247, 150, 205), "gray": (127, 127, 127),
           "cyan": (23, 190, 207), "yellow": (240, 220, 40)}
near = {n: (np.abs(image - c).max(axis=2) < 12).sum() for n, c in colours.items()}
print(f"Answer: {100 * near[name] / sum(near.values()):.2f}")
"""
DIFFERENCES = """
first, second = pixels("first.png"), pixels("second.png")
second = second - np.round(np.median(second - first, axis=(0, 1))).astype(int)
differs = np.abs(first - second).max(axis=2) > 14
regions, _ = ndimage.label(ndimage.binary_dilation(differs, iterations=6))
places = []
for region in ndimage.find_objects(regions):
    if differs[region].sum() > 8:
        y, x = [(side.start + side.stop) / 2 for side in region]
        places.append(f"({x / first.shape[1]:.3f}, {y / first.shape[0]:.3f})")
print(f"Answer: {len(places)}; {', '.join(places)}")
"""
SOLVERS = {"maze": MAZE, "pie": PIE, "differences": DIFFERENCES}


def solver(kind: str, question: str) -> str:
    """Code that prints the line which a question asks for."""
    return f"{PRELUDE}\nQUESTION = {question!r}\n{SOLVERS[kind]}"
