"""mini-swe-agent: a coding agent with its own prompts, through litellm; commands run inside bubblewrap."""

import json
import os
import shutil
import sys
import tempfile

folder = tempfile.mkdtemp()
os.environ |= {"MSWEA_GLOBAL_CONFIG_DIR": folder, "MSWEA_SILENT_STARTUP": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}

import yaml  # noqa: E402
from minisweagent.agents.default import DefaultAgent  # noqa: E402
from minisweagent.config import builtin_config_dir  # noqa: E402
from minisweagent.environments.extra.bubblewrap import BubblewrapEnvironment  # noqa: E402
from minisweagent.models.litellm_model import LitellmModel  # noqa: E402

base, key, tokens, bwrap = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
config = yaml.safe_load((builtin_config_dir / "mini.yaml").read_text())
model = LitellmModel(
    model_name="openai/m",
    model_kwargs={"api_base": f"{base}/v1", "api_key": key, "max_tokens": tokens, "drop_params": True},
    cost_tracking="ignore_errors",
    **{k: v for k, v in config["model"].items() if k in ("observation_template", "format_error_template")},
)
fields = {k: v for k, v in config["agent"].items() if k in ("system_template", "instance_template")}
agent = DefaultAgent(model, BubblewrapEnvironment(executable=bwrap, cwd="/tmp"), **fields, step_limit=4)
ended = agent.run("Print the word hello.")
shutil.rmtree(folder)
print(json.dumps({"text": ended.get("submission", ""), "status": ended.get("exit_status", "")}))
