"""Counts the parameters of the released model and of a variant with half the experts, without allocating any.

python examples/count_parameters.py
"""

from dataclasses import replace

from manyeyes.model.config import k25, moonlight_16b_a3b, small, tiny
from manyeyes.model.parameter_count import parameter_count
from manyeyes.model.tensor_names import official_tensors


def main() -> None:
    """Print total and active parameters, and the size of an INT4 checkpoint where its layout allows one."""
    full = k25()
    half = replace(full, text=replace(full.text, n_routed_experts=full.text.n_routed_experts // 2))
    configurations = {
        "k25": full,
        "k25, half the experts": half,
        "moonlight_16b_a3b": moonlight_16b_a3b(),
        "small": small(),
        "tiny": tiny(),
    }
    for name, config in configurations.items():
        count = parameter_count(config)
        print(f"{name:<24}{count.total:>22,} parameters {count.active_text:>16,} active for one text token")
    tensors = list(official_tensors(full, quantization="int4"))
    print(f"k25 in INT4: {len(tensors):,} tensors, {sum(tensor.n_bytes for tensor in tensors) / 1e9:.1f} GB")


if __name__ == "__main__":
    main()
