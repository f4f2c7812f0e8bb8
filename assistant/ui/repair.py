"""Repairs of the page library's own markup, for those who listen to the page instead of seeing it.

axe finds what is missing; a test in a real browser holds that nothing critical or serious is. Each repair is made anew
when the library draws anew, and does nothing where the library has mended the fault itself.
"""

from __future__ import annotations

REPAIR = """() => {
  const mend = () => {
    // A list whose children are buttons is no list (ARIA 1.2, required owned elements).
    document.querySelectorAll('.examples[role=list]').forEach(one => {
      if (![...one.children].every(child => child.getAttribute('role') === 'listitem')) { one.removeAttribute('role'); }
    });
    // A button that holds nothing but a picture has no name.
    document.querySelectorAll('button:not([aria-label])').forEach(one => {
      const image = one.querySelector('img');
      if (image && !one.innerText.trim()) {
        one.setAttribute('aria-label', image.alt ? 'Enlarge: ' + image.alt : 'Enlarge the image');
      }
    });
    document.querySelectorAll('input[type=file]:not([aria-label])').forEach(one => {
      one.setAttribute('aria-label', 'Choose files');
    });
    // What scrolls must be reachable by keyboard.
    document.querySelectorAll('#conversation .bubble-wrap:not([tabindex])').forEach(one => {
      one.setAttribute('tabindex', '0');
    });
  };
  let waiting = false;
  const later = () => {
    if (waiting) { return; }
    waiting = true;
    requestAnimationFrame(() => { waiting = false; mend(); });
  };
  new MutationObserver(later).observe(document.body, {childList: true, subtree: true});
  mend();
}"""
