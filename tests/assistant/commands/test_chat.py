import pytest

from assistant.commands.chat import run_chat
from assistant.config import AssistantConfig
from assistant.errors import ConfigError


def test_a_login_file_that_is_missing_is_named_before_anything_starts(tmp_path):
    config = AssistantConfig(host="0.0.0.0", login=str(tmp_path / "nobody"))
    with pytest.raises(ConfigError, match="nobody cannot be read"):
        run_chat(config, lambda config: pytest.fail("loaded"))
