"""The form that asks for name and password: plain HTML, no script, nothing fetched."""

from __future__ import annotations

from html import escape

from assistant.conversation import NOT_FOR_CLINICAL_USE

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in</title><style>
:root {{ color-scheme: light dark; font-family: ui-sans-serif, system-ui, sans-serif; }}
body {{ display: grid; place-items: center; min-height: 95vh; margin: 0 16px; }}
main {{ width: 100%; max-width: 340px; }}
h1 {{ font-size: 1.4rem; }}
label {{ display: block; margin: 14px 0 4px; }}
input {{ width: 100%; box-sizing: border-box; padding: 10px; font: inherit; border: 1px solid #888;
  border-radius: 8px; }}
button {{ margin-top: 18px; width: 100%; padding: 11px; font: inherit; font-weight: 600; border: 0; border-radius: 8px;
  background: #0f766e; color: #fff; }}
.error {{ border-left: 4px solid #d92d20; padding: 8px 12px; }}
small {{ display: block; margin-top: 18px; }}
</style></head><body><main>
<h1>Medical image assistant</h1>{error}
<form method="post" action="/login">
<label for="username">Name</label><input id="username" name="username" autocomplete="username" required autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<button type="submit">Sign in</button></form>
<small>{notice}</small></main></body></html>
"""


def login_html(error: str | None = None) -> str:
    """Return the form.

    Args:
        error: why the last try failed.
    Returns:
        A whole page.
    """
    told = f"<p class='error' role='alert'>{escape(error)}</p>" if error else ""
    return _PAGE.format(error=told, notice=escape(NOT_FOR_CLINICAL_USE))
