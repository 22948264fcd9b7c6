
from .driving import compiled
from .playing import Player
from .programs import *
from .reference import interpret


def test_x():
    program=Program(Seq((Loop('l4',Cycle('h2',Task('t1'),'s3',25),1,63),Task('t5'))))
    g=Player(program,compiled(definition(program)),None,1)
    r=g.play()
    print(r.dispatched(), r.ended, r.error if r.ended=='failed' else r.value)
    e=interpret(program,None,g.output)
    print(e)
    for x in r.plan.scopes: print(x.index,x.parent,x.owner,x.nodes,x.entries,x.exits,x.backs)
    for n in r.plan.nodes: print(n.index,n.id,n.scope,n.body)
