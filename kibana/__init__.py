"""What Kibana shows: the sources of the dashboards, and what builds them (`make kibana`).

    words.py        fields and queries that several panels share
    names.py        what people call the fields
    colours.py      which meaning has which colour
    views.py        data views: which indices, what they compute, and how values are written
    searches.py     saved searches and saved queries
    dashboards/     one file for each dashboard: rows of panels
    drawings/       Vega panels, for what Lens cannot draw
    rules.py        alert rules
    lens/           knows what Lens keeps of a panel
    vega.py         knows what Vega, and Kibana around it, want of a panel
    objects/        knows what Kibana keeps of everything else
    edited.py       takes back what was changed by hand in Kibana
    build.py        puts all of it together; `python -m kibana` writes the files

The built files lie in `shipper/index/saved_objects/`: `shipper setup --kibana URL` has them wherever it is installed.
"""
