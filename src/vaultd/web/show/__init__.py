"""How the pages for people look and speak: languages, the operator's branding, marks, charts. No data of anybody's."""
