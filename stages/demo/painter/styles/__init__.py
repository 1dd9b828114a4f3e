"""How a picture is painted: a module per manner turns what is on the easel into pixels."""
