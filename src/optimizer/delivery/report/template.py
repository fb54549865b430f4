"""The report's page as a Jinja template: everything put in is escaped but style and script."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'; script-src '{{ script_hash }}'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{{ context.title }}</title>
<style>{{ style|safe }}</style>
</head>
<body>
<main>
<header>
<h1>{{ context.title }}</h1>
<p class="soft">Right-sizing recommendations for {{ context.data_name }}. Nothing has been applied.
</p>
<p class="warn" id="late" data-until="{{ until_iso }}" hidden>The interval this report speaks of
ended on {{ facts["Valid until"] }}: make a new one before you act.</p>
<dl class="facts">
{% for term, text in facts.items() %}
<dt>{{ term }}</dt><dd>{{ text }}</dd>
{% endfor %}
</dl>
</header>

<section aria-labelledby="summary">
<h2 id="summary">Summary</h2>
<ul class="tiles">
{% for tile in tiles %}
<li><span class="soft">{{ tile.label }}</span><b>{{ tile.value }}</b><small>{{ tile.hint }}\
</small></li>
{% endfor %}
</ul>
</section>
{% if context.notes %}

<section aria-labelledby="notes">
<h2 id="notes">Mind</h2>
<ul>
{% for note in context.notes %}
<li>{{ note }}</li>
{% endfor %}
</ul>
</section>
{% endif %}

<section aria-labelledby="table">
<h2 id="table">Recommendations</h2>
{% if not rows %}
<p>There is none.</p>
{% else %}
<form class="filters" id="filters" hidden>
<label>Text in any column<input type="search" name="text" autocomplete="off"></label>
<label>Action<select name="action"><option value="">all</option>
{% for name, count in actions.items() %}
<option value="{{ name }}">{{ name|words }} ({{ count }})</option>
{% endfor %}
</select></label>
<label>Finding<select name="finding"><option value="">all</option>
{% for name, count in findings.items() %}
<option value="{{ name }}">{{ name|words }} ({{ count }})</option>
{% endfor %}
</select></label>
<label class="tick"><input type="checkbox" name="risky"> risk 3 or more</label>
<button type="reset">Show all</button>
<output name="shown" aria-live="polite"></output>
</form>
<p class="key">Rows that move most money come first; click a heading to sort. Each bar
starts at 0 and has its own scale:
<svg class="bar" width="16" height="14" aria-hidden="true">\
<path class="r" d="M1 4H15V10H1z"/></svg> P5 to P95 of the coming peak,
<svg class="bar" width="10" height="14" aria-hidden="true">\
<path class="t" d="M3.5 0H6.5V14H3.5z"/></svg> target,
<svg class="bar" width="8" height="14" aria-hidden="true">\
<path class="c" d="M4 0V14"/></svg> current. A dash means not known.</p>
<div class="scroll" tabindex="0" role="region" aria-label="Table of recommendations">
<table id="recommendations">
<thead><tr>
{% for name, numeric, told in columns %}
<th scope="col" aria-sort="none"{% if numeric %} class="n"{% endif %}>\
<button type="button" title="{{ told }}">{{ name }}</button></th>
{% endfor %}
</tr></thead>
<tbody>
{% for row in rows %}
<tr data-action="{{ row.action }}" data-finding="{{ row.finding }}"\
{% if row.risky %} data-risky="1"{% endif %}>
<th scope="row">{% if row.anchor %}<a href="#{{ row.anchor }}">{{ row.service }}</a>\
{% else %}{{ row.service }}{% endif %}<small class="soft">{{ row.cluster }}</small></th>
<td>{{ row.resource }}</td>
<td data-v="{{ row.change_v }}"><span class="w">{{ row.current }} \u2192 {{ row.target }} \
{{ row.unit }}{% if row.change %} <small>({{ row.change }})</small>{% endif %}</span>\
{% if row.bar %}<svg class="bar" viewBox="0 0 140 14" width="140" height="14" \
role="img" aria-label="{{ row.range }}">\
<path class="x" d="M0 7H140"/>\
{% if row.bar.low %}<path class="r" d="M{{ row.bar.low }} 4H{{ row.bar.high }}V10H\
{{ row.bar.low }}z"/>{% endif %}\
{% if row.bar.target %}<path class="t" d="M{{ row.bar.target }} 0h3v14h-3z"/>{% endif %}\
{% if row.bar.current %}<path class="c" d="M{{ row.bar.current }} 0V14"/>{% endif %}</svg>\
{% endif %}</td>
<td class="w">{{ row.sign }} {{ row.action|words }}</td>
<td>{{ row.finding|words }}</td>
<td class="n" data-v="{{ row.risk_v }}"><span class="badge {{ row.level }}">{{ row.risk }}\
</span></td>
<td class="n" data-v="{{ row.saving_v }}"><span{% if row.costs %} class="neg"{% endif %}>\
{{ row.saving }}</span>{% if row.spread %}<br><small>({{ row.spread }})</small>{% endif %}</td>
<td class="n" data-v="{{ row.exceedance_v }}">{{ row.exceedance }}</td>
<td class="n" data-v="{{ row.event_v }}">{{ row.event }}</td>
<td class="n" data-v="{{ row.confidence_v }}">{{ row.confidence }}</td>
<td class="w">{% for driver in row.drivers %}{% if not loop.first %}<br>{% endif %}{{ driver }}\
{% endfor %}</td>
<td class="why">{{ row.reason }}<small class="soft">{{ row.code }}</small></td>
</tr>
{% endfor %}
</tbody>
</table>
</div>
{% endif %}
</section>
{% if fleet_plots %}

<section aria-labelledby="fleet">
<h2 id="fleet">The fleet</h2>
<div class="pair">
{% for plot in fleet_plots %}
<figure><div class="plot"><img src="{{ plot.source }}" alt="{{ plot.alt }}"></div>
<figcaption class="soft">{{ plot.caption }}</figcaption></figure>
{% endfor %}
</div>
</section>
{% endif %}
{% if details %}

<section aria-labelledby="details">
<h2 id="details">Services in detail</h2>
<p class="soft">{{ details|length }} services: up to half of them by their risk, from 3 on, then
those whose cost changes most. Usage of the last 7 days is drawn by its lowest and highest values,
so that no peak is lost; the shaded end is the coming interval.</p>
{% for one in details %}
<figure id="{{ one.anchor }}"><h3>{{ one.service }}</h3>
<figcaption>{% for line in one.lines %}<p>{{ line }}</p>{% endfor %}</figcaption>
{% if one.source %}
<div class="plot"><img src="{{ one.source }}" alt="{{ one.alt }}"></div>
{% else %}
<p class="soft">No usage is at hand to draw.</p>
{% endif %}
</figure>
{% endfor %}
</section>
{% endif %}

<section aria-labelledby="glossary">
<h2 id="glossary">Terms</h2>
<dl class="terms">
{% for term, text in glossary %}
<dt>{{ term }}</dt><dd>{{ text }}</dd>
{% endfor %}
</dl>
<h2 id="limits">What this report cannot know</h2>
<ul>
{% for text in limits %}
<li>{{ text }}</li>
{% endfor %}
</ul>
</section>
</main>
<script>{{ script|safe }}</script>
</body>
</html>
"""
