"""What Kibana shows: the sources of the dashboards, and what builds them (`make kibana`).

    words.py        fields, queries and colours that several panels share
    views.py        data views: which indices, and how their values are written
    searches.py     saved searches and saved queries
    dashboards/     one file for each dashboard: rows of panels
    drawings/       Vega panels, for what Lens cannot draw
    rules.py        alert rules
    lens.py         knows what Lens keeps of a panel
    vega.py         knows what Vega, and Kibana around it, want of a panel
    objects.py      knows what Kibana keeps of everything else
    build.py        puts all of it together; `python -m kibana` writes the files

The built files lie in `shipper/index/saved_objects/`: `shipper setup --kibana URL` has them wherever it is installed.
"""
