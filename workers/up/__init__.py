"""A whole fleet from one command, for development and for one machine.

fleet     server, coordinators, workers, reader, triggers: started in order, stopped in order
child     one of these processes: supervised, its log forwarded, ended with us
folder    the flows in a folder: deployed, and again when they change
screen    what runs where, and what to type next
"""
