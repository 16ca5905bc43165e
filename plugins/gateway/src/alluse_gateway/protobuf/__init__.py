"""The protobuf era of the TWS protocol: server versions 201 and up.

What a message says is the same as in text; only its form differs. ``fields`` says which number each
field has, ``schema`` makes messages of that, ``questions`` and ``replies`` say where each field
stands in the text of version 200, and ``codec`` turns one form into the other for a session.
Imported for a client that negotiates such a version, and by nobody else.
"""
