"""The style sheet of the Data Docs: the few classes of Bootstrap that their pages use."""

STYLE = r"""
body { font: 15px/1.45 system-ui, sans-serif; color: #222; margin: 0; }
h1, h2, h3, h4, h5, h6 { margin: 0.6em 0 0.3em; }
a { color: #1f5fa8; text-decoration: none; }
.index { max-width: 1150px; margin: 1.5rem auto; padding: 0 1rem; }
.navbar { padding: 0.3rem 1rem; height: auto !important; }
.navbar, .border-bottom { border-bottom: 1px solid #ddd; }
.breadcrumb { list-style: none; display: flex; margin: 0; padding: 0.4rem 0; gap: 0.5rem; }
.breadcrumb-item + .breadcrumb-item::before { content: "/ "; color: #888; }
.container-fluid { padding: 0 1rem; }
.row { display: flex; flex-wrap: wrap; }
.col-12, .col-sm-12, .col-6 { flex: 0 0 100%; box-sizing: border-box; }
.col-md-2 { flex: 0 0 17%; max-width: 17%; }
.col-md-10 { flex: 0 0 80%; max-width: 80%; padding-left: 2rem; box-sizing: border-box; }
.sticky { position: sticky; top: 1rem; }
.nav { list-style: none; padding: 0; }
.nav-link { padding: 0.15rem 0.3rem; }
.card, .alert { border: 1px solid #ddd; border-radius: 4px; padding: 0.5rem 0.8rem; }
.alert, .card-header { background: #f2f4f7; }
.card { margin-bottom: 0.6rem; }
.table { border-collapse: collapse; width: 100%; margin: 0.4rem 0 1rem; }
.table td, .table th { border-bottom: 1px solid #e3e3e3; padding: 0.35rem 0.5rem; text-align: left;
  vertical-align: top; }
.badge { border-radius: 4px; padding: 0.1rem 0.45rem; background: #e6e8eb; font-size: 0.85em; }
.badge.passed { background: #d3ecd8; color: #14532d; }
.badge.warning { background: #fdeec2; color: #6b4c00; }
.badge.failed { background: #f7d0d0; color: #7a1212; }
h1 .badge { font-size: 0.5em; vertical-align: middle; }
.fas::before { font-style: normal; font-weight: bold; }
.fa-check-circle::before { content: "\2713"; color: #14803c; }
.fa-times::before { content: "\2717"; color: #b91c1c; }
.fa-exclamation-triangle::before { content: "\26A0"; color: #a16207; }
.cooltip .top { display: none; }
.cooltip:hover .top { display: block; position: absolute; background: #222; color: #fff;
  padding: 0.5rem; }
.lead, .d-none, .btn-group, [data-toggle=collapse] { display: none; }
.d-md-block { display: block; }
.d-md-inline-flex { display: inline-flex; }
"""
