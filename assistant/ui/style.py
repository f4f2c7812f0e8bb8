"""How the page looks: colours from the theme, so that light and dark both work, and one column on a phone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradio.themes import Base

SANS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

CSS = """
.gradio-container { max-width: 1280px !important; width: 100% !important; margin: 0 auto !important;
  padding: 52px 20px 24px !important; }
.gradio-container > .main, .gradio-container .wrap { padding: 0 !important; }
footer { display: none !important; }
#notice { position: fixed; top: 0; left: 0; right: 0; z-index: 80; padding: 0; margin: 0; border-radius: 0; }
.ma-notice { background: #fdf3d8; color: #5b4300; border-bottom: 1px solid #ecd9a0; padding: 8px 16px;
  font-size: 0.875rem; line-height: 1.4; text-align: center; }
.dark .ma-notice { background: #372c0f; color: #f5dfa3; border-color: #584817; }
#status .html-container, #notice .html-container, .ma-bare .html-container { padding: 0 !important; }
.ma-header { display: flex; flex-wrap: wrap; align-items: baseline; justify-content: space-between; gap: 4px 24px;
  padding: 4px 2px 0; }
.ma-header h1 { font-size: 1.4rem; font-weight: 650; margin: 0; color: var(--body-text-color); }
.ma-status { display: inline-flex; align-items: center; gap: 8px; font-size: 0.86rem; color: var(--body-text-color); }
.ma-dot { width: 9px; height: 9px; border-radius: 50%; background: #2f9e6e; flex: none; }
.ma-loading .ma-dot { background: #d99a1c; animation: ma-pulse 1.2s ease-in-out infinite; }
.ma-failed { color: #b42318; } .ma-failed .ma-dot { background: #d92d20; }
.dark .ma-failed { color: #fda29b; }
@keyframes ma-pulse { 50% { opacity: 0.3; } }
@media (prefers-reduced-motion: reduce) { .ma-loading .ma-dot { animation: none; } }
.ma-panel { border: 1px solid var(--border-color-primary); border-radius: 12px; padding: 16px 18px;
  background: var(--background-fill-primary); }
.ma-panel h2 { font-size: 0.78rem; font-weight: 650; text-transform: uppercase; letter-spacing: 0.05em;
  margin: 0 0 8px; color: var(--body-text-color-subdued); }
.ma-panel section + section { margin-top: 18px; }
.ma-panel p, .ma-panel ul, .ma-panel ol { margin: 0; line-height: 1.5; }
.ma-empty { color: var(--body-text-color-subdued); font-size: 0.92rem; }
.ma-words { display: flex; justify-content: space-between; font-weight: 600; margin-bottom: 6px; }
.ma-bar { height: 8px; border-radius: 99px; background: var(--border-color-primary); overflow: hidden; }
.ma-bar span { display: block; height: 100%; border-radius: 99px; background: #2f9e6e; }
.ma-middle .ma-bar span { background: #d99a1c; } .ma-low .ma-bar span { background: #cf4f3f; }
.ma-abstained { font-size: 0.92rem; margin-bottom: 6px !important; }
.ma-cautions ul { margin: 0; padding-left: 18px; font-size: 0.92rem; list-style: disc; }
.ma-cautions li + li { margin-top: 4px; }
.ma-evidence ol { list-style: none; margin: 0; padding: 0; display: grid; gap: 10px; }
.ma-card { border: 1px solid var(--border-color-primary); border-radius: 10px; padding: 10px 12px; font-size: 0.92rem;
  background: var(--background-fill-secondary); overflow-wrap: anywhere; }
.ma-card-head { display: flex; gap: 8px; align-items: baseline; margin-bottom: 4px; }
.ma-number { flex: none; min-width: 1.5em; text-align: center; border-radius: 6px; font-size: 0.8rem; font-weight: 650;
  background: var(--primary-700); color: #fff; padding: 1px 5px; }
.ma-card summary { cursor: pointer; line-height: 1.5; list-style: none; }
.ma-card summary::after { content: " more"; color: var(--primary-700); font-weight: 600; }
.dark .ma-card summary::after { color: var(--primary-400); }
.ma-card details[open] summary { display: none; }
.ma-card p { display: block; }
.ma-source { margin-top: 6px !important; font-size: 0.8rem; color: var(--body-text-color-subdued); }
.ma-references { margin: 4px 0 0;  font-size: 0.8rem; color: var(--body-text-color-subdued); }
.ma-error { border-left: 4px solid #d92d20; background: #fef3f2; color: #7a271a; border-radius: 8px;
  padding: 10px 14px; }
.dark .ma-error { background: #3b1512; color: #fecdca; }
.ma-critical { border-left: 4px solid #d92d20; background: #fef3f2; color: #7a271a; border-radius: 8px;
  font-weight: 600; padding: 8px 12px; margin: 0 0 8px !important; font-size: 0.95rem; }
.dark .ma-critical { background: #3b1512; color: #fecdca; }
.ma-heat { margin: 0; } .ma-heat img { width: 100%; border-radius: 10px; display: block; }
.ma-heat figcaption { font-size: 0.88rem; line-height: 1.5; margin-top: 8px; color: var(--body-text-color); }
.ma-legend { display: flex; align-items: center; gap: 8px; font-size: 0.8rem; margin-bottom: 4px;
  color: var(--body-text-color-subdued); }
.ma-legend i { flex: 1; height: 8px; border-radius: 99px;
  background: linear-gradient(90deg, transparent, #ffe040 30%, #d61834); }
.ma-looks { justify-content: flex-end; align-items: center; margin-top: -8px; }
#model { max-width: 320px; }
.ma-references ul { padding-left: 16px; } .ma-card .ma-references summary::after { content: ""; }
.ma-card .ma-references[open] summary { display: list-item; }
.ma-card .ma-references summary { list-style: disclosure-closed inside; }
.ma-card .ma-references[open] summary { list-style: disclosure-open inside; }
.ma-spoken { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
.ma-changes { white-space: pre-wrap; overflow-wrap: anywhere; }
.ma-changes del { text-decoration: line-through 2px; background: #fde4e1; color: #7a1c12; padding: 0 2px; }
.ma-changes ins { text-decoration: underline 2px; background: #dcf5e7; color: #0f4a2f; padding: 0 2px;
  font-weight: 600; }
.dark .ma-changes del { background: #4a1a15; color: #fecdca; }
.dark .ma-changes ins { background: #12402b; color: #c4f3d9; }
.ma-thanks { border-left: 4px solid #2f9e6e; padding: 8px 12px; margin: 0; }
.ma-form-title { font-size: 1rem; font-weight: 650; margin: 0 0 4px; color: var(--body-text-color); }
button[role=tab][aria-selected=true] { color: var(--primary-700) !important; }
.dark button[role=tab][aria-selected=true] { color: var(--primary-300) !important; }
.ma-slice { margin: 0; } .ma-slice img { width: 100%; max-height: 420px; object-fit: contain; display: block;
  background: #000; } .ma-slice figcaption { font-size: 0.88rem; padding: 8px 12px; color: var(--body-text-color);
  background: var(--block-background-fill); } .ma-slices ol { padding-left: 1.2rem; margin: 0; }
.ma-pair { display: grid; grid-template-columns: 1fr 1fr; gap: 10px; }
.ma-pair figure { margin: 0; } .ma-pair img { width: 100%; height: 240px; object-fit: contain; border-radius: 8px;
  background: #000; } .ma-pair figcaption { font-size: 0.86rem; text-align: center; color: var(--body-text-color); }
.styler:has(#views) { background: var(--block-background-fill) !important; }
#canvas img { cursor: crosshair; }
html.ma-large .gradio-container { zoom: 1.25; }
.ma-below { align-items: center; } .ma-below p { margin: 0; font-size: 0.86rem; }
#conversation .placeholder-content { padding: 0 16px; }
#conversation .message img { max-height: 260px; width: auto; border-radius: 8px; }
#conversation .icon-button-wrapper:not(:has(button)),
#conversation [class*=message-buttons]:not(:has(button)) { display: none !important; }
#conversation button[aria-label="Share"] { display: none !important; }
@media (max-width: 760px) {
  .gradio-container { padding: 84px 10px 16px !important; }
  .ma-header h1 { font-size: 1.2rem; }
  .ma-notice { font-size: 0.8rem; padding: 6px 10px; }
  #conversation { height: 62vh !important; }
  .ma-below { flex-wrap: wrap; } .ma-below > .html-container, .ma-below > .block { flex: 1 0 100% !important; }
}
"""


def theme() -> Base:
    """Return the theme: the system's own fonts, so that none is fetched, and a quiet teal."""
    from gradio.themes import Base, colors, sizes

    made = Base(
        primary_hue=colors.teal,
        neutral_hue=colors.slate,
        radius_size=sizes.radius_md,
        font=SANS,
        font_mono=MONO,
    )
    # The library's own grey on white has a contrast of 2.6; WCAG 2.2 asks for 4.5 (1.4.3).
    return made.set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        input_placeholder_color="*neutral_600",
        input_placeholder_color_dark="*neutral_300",
        block_label_text_color="*neutral_600",
        block_title_text_color="*neutral_600",
        block_info_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_200",
        block_title_text_color_dark="*neutral_200",
        block_info_text_color_dark="*neutral_300",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        button_primary_text_color="white",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
    )
