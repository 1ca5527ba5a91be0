"""What every page of a report shares: its frame, style and caveats."""

HONESTY = """<p class="note">Features are frozen; only a linear probe is \
trained on them. All features of a task, baselines included, had the same \
images, crops and folds; another run that is compared sees the same images in \
the crop of its own training. "Supervised" is the same network trained with \
the labels of the training part: an upper bound, no peer. Nothing was chosen \
on test data. Brackets hold 95 % intervals by bootstrap over people (over \
images where people are unknown, over pairs in verification), 1000 resamples; \
they hold the chance of the test set, not that of training anew. \
<b>Bold</b>: best of its column. \
<span class="better">▲ better</span>, <span class="worse">▼ worse</span> than \
this run: the two intervals do not overlap; without a mark they do, and no \
difference is claimed. ↑ higher is better, ↓ lower is better. Numbers of other \
protocols do not compare.</p>"""

STYLE = """
:root { color-scheme: light dark; --text: #1a1a1a; --back: #fff;
  --line: #ccc; --soft: #f2f6fa; --better: #00609b; --worse: #a34700; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e6e6;
  --back: #16181b; --line: #444; --soft: #22272d; --better: #7cc4f5;
  --worse: #f5a86b; } }
body { color: var(--text); background: var(--back); margin: 0 auto;
  padding: 1rem; max-width: 60rem; font: 16px/1.5 system-ui, sans-serif;
  overflow-wrap: break-word; }
h3 small { display: block; white-space: normal; font-weight: normal; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
a { color: var(--better); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; }
dd { margin: 0; }
.note { background: var(--soft); padding: .75rem; border-radius: .4rem;
  font-size: .9rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem;
  font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem;
  border-bottom: 1px solid var(--line); min-width: 5rem; }
thead th { border-bottom-width: 2px; }
tr.own { background: var(--soft); }
small { white-space: nowrap; opacity: .85; }
.better { color: var(--better); white-space: nowrap; font-size: .8rem; }
.worse { color: var(--worse); white-space: nowrap; font-size: .8rem; }
figure { margin: 1rem 0; }
figure img { max-width: 100%; height: auto; background: #fff;
  border-radius: .3rem; }
.gallery { display: flex; flex-wrap: wrap; gap: .75rem; }
.gallery figure { margin: 0; width: 10.5rem; }
.gallery img { width: 100%; }
figcaption { font-size: .8rem; }
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
