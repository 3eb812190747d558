"""One pace for several processes and machines: the state of `fanin.policy.pacing` in a store.

`joint` is what the store holds of one account and model, and what one look at it does: pure.
`codec` makes bytes of it, `store` says what a store promises, `file` and `redis` are the two there
are, `opening` finds the one that is meant.
"""
