"""MaxSim over coded tokens in C++, by instruction set; optional, with a numpy twin that gives the same bits."""
